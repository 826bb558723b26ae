"""The page stands alone, says what the run says, and cannot be broken by a name."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import itertools
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from entrepot import report
from entrepot.report import html, rulings
from entrepot.report.figures import curve_charts, price_charts, utilisation_charts
from entrepot.report.format import from_micro
from entrepot.report.records import Run, Story

VOID = {"meta", "link", "br", "hr", "img", "input", "col", "wbr"}
HOSTILE = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7 * 7 }}"


class Parsed(HTMLParser):
    """The page as a browser would read it: what is open, what is wrong, what it would load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.wrong: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an opening tag."""
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag that closes itself, as SVG has them."""
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        """Note a closing tag."""
        if not self.stack or self.stack.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        """Collect text by where it stands."""
        place = self.stack[-1] if self.stack else ""
        {"script": self.scripts, "style": self.styles}.get(place, self.words).append(data)

    @property
    def text(self) -> str:
        """All that a person reads, with single spaces."""
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        """Return the attributes of every such element."""
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture(scope="module")
def parsed(page: str) -> Parsed:
    """Return the page of spring 2025, parsed."""
    return Parsed(page)


def specs(parsed: Parsed) -> dict[str, dict[str, object]]:
    """Return what the charts are drawn from."""
    found: dict[str, dict[str, object]] = json.loads(parsed.scripts[0])
    return found


def _series(spec: dict[str, object]) -> list[dict[str, Any]]:
    series = spec["series"]
    assert isinstance(series, list)
    return series


def test_the_page_asks_for_nothing_outside_itself(parsed: Parsed) -> None:
    """A report must open on a machine without a network, years later."""
    loading = {"src", "srcset", "data", "poster", "action", "formaction", "background", "ping"}
    assert [a for _, attrs in parsed.elements for a in attrs if a in loading] == []
    assert [a["href"] for a in parsed.all("link")] == ["data:,"]
    assert not {tag for tag, _ in parsed.elements} & {"iframe", "img", "object", "embed", "base", "form"}
    style = "".join(parsed.styles)
    assert "@import" not in style
    assert "url(" not in style


def test_the_policy_lets_only_our_own_scripts_and_style_run(parsed: Parsed) -> None:
    """The hashes in the policy are those of what is inlined, and nothing needs more than them."""
    policy = next(
        m["content"] for m in parsed.all("meta") if m.get("http-equiv") == "Content-Security-Policy"
    )
    library, ours = parsed.scripts[1:]
    for text in (library, ours, parsed.styles[0]):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert [a for _, attrs in parsed.elements for a in attrs if a == "style" or a.startswith("on")] == []


def test_links_lead_to_sources_and_tell_them_nothing(parsed: Parsed) -> None:
    """A source does not learn who reads the report; what is not a source is a place on this page."""
    ids = {attrs["id"] for _, attrs in parsed.elements if "id" in attrs}
    for link in parsed.all("a"):
        if link["href"].startswith("#"):
            assert link["href"][1:] in ids
        else:
            assert link["href"].startswith(("https://", "http://"))
            assert "noopener" in link["rel"]
            assert "noreferrer" in link["rel"]


def test_the_page_is_well_formed(parsed: Parsed) -> None:
    """Every tag that is opened is closed, in order, and no id stands twice."""
    assert parsed.wrong == []
    assert parsed.stack == []
    ids = Counter(attrs["id"] for _, attrs in parsed.elements if "id" in attrs)
    assert [name for name, n in ids.items() if n > 1] == []


def test_the_page_can_be_read_without_eyes(parsed: Parsed) -> None:
    """One heading of the first level, none skipped; every table named; every column and picture said in words."""
    levels = [int(tag[1]) for tag, _ in parsed.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))
    tags = [tag for tag, _ in parsed.elements]
    assert tags.count("table") == tags.count("caption") > 10
    assert all(attrs.get("scope") for attrs in parsed.all("th"))
    assert all(attrs.get("aria-label") for attrs in parsed.all("svg"))
    assert all(attrs["aria-label"] for _, attrs in parsed.elements if "data-chart" in attrs)
    assert parsed.all("html")[0]["lang"] == "en"


def test_every_order_party_and_site_is_named(spring: Story, parsed: Parsed) -> None:
    """Whoever wrote a lot or a bid finds it on the page."""
    scenario = spring.main.scenario
    names = [x.id for x in scenario.lots] + [b.id for b in scenario.bids] + [h.id for h in scenario.holdings]
    names += [scenario.parties[x.seller].name.split(",")[0] for x in scenario.lots]
    names += [scenario.sites[h.site].name for h in scenario.holdings]
    assert [name for name in names if name not in parsed.text] == []


def test_every_assumption_and_every_claim_is_shown(spring: Story, parsed: Parsed) -> None:
    """What no source states stands on the page as an assumption; a denial stands beside what it denies."""
    for assumption in spring.main.scenario.assumptions:
        assert " ".join(assumption.text.split()) in parsed.text
    assert "ByteDance denies" in parsed.text
    assert "asserted and denied" in parsed.text


def test_every_paragraph_that_refuses_a_trade_is_shown(spring: Story, parsed: Parsed) -> None:
    """A refusal without its paragraph is worth nothing to a compliance desk."""
    refused = [d for d in spring.main.decisions.values() if not d.allowed]
    assert refused
    for decision in refused:
        for reason in decision.reasons:
            if reason.outcome is decision.outcome:
                assert " ".join(reason.citation.split()) in parsed.text
                assert " ".join(reason.text.split()) in parsed.text
        for fact in decision.missing:
            assert " ".join(fact.split()) in parsed.text
    assert "Not legal advice" in parsed.text


def test_the_certificate_is_shown_to_the_last_digit(spring: Story, parsed: Parsed) -> None:
    """Whoever recomputes the bound must be able to compare it."""
    certificate = spring.main.clearing.certificate
    for micro in (certificate.welfare_micro, certificate.bound_micro):
        assert f"{from_micro(micro):,.2f}" in parsed.text
    assert certificate.orders_root in parsed.text
    for check in spring.main.verification.checks["check"]:
        assert check in parsed.text


def test_charts_draw_the_prices_of_the_clearing(spring: Story, parsed: Parsed) -> None:
    """Every lease price of the run is in a chart and in the table beside it, and nothing else is."""
    run = spring.main
    leases = run.clearing.prices.filter(pl.col("kind") == "lease")
    want = Counter(float(from_micro(int(p))) for p in leases["price_micro"])
    drawn: Counter[float] = Counter()
    for chart in price_charts(run):
        spec = specs(parsed)[chart.id]
        series = _series(spec)
        columns = [[row[i + 1] for row in chart.rows] for i in range(len(series))]
        for one, column in zip(series, columns, strict=True):
            drawn.update(v for v in one["values"] if v is not None)
            assert [None if cell == "" else float(cell.replace(",", "")) for cell in column] == [
                None if v is None else pytest.approx(v, abs=5e-5) for v in one["values"]
            ]
    assert drawn == want


def test_every_chart_has_its_figures_in_a_table(spring: Story, parsed: Parsed) -> None:
    """The page says all it shows to a reader without a script."""
    run = spring.main
    charts = (*price_charts(run), *curve_charts(run), *utilisation_charts(run))
    assert (
        {c.id for c in charts}
        == set(specs(parsed))
        == {a["data-chart"] for _, a in parsed.elements if "data-chart" in a}
    )
    for chart in charts:
        assert all(len(row) == len(chart.columns) for row in chart.rows)
        assert all(cell in parsed.text for row in chart.rows[:30] for cell in row)


def test_supply_and_demand_are_those_of_the_market(spring: Story) -> None:
    """Supply ends at what is on offer in that hour, and starts at the lowest ask."""
    run = spring.main
    for chart in curve_charts(run):
        supply, prices = chart.spec["supply"], chart.spec["prices"]
        assert isinstance(supply, list)
        assert isinstance(prices, list)
        asks = [price for _, price, _ in supply]
        assert asks == sorted(asks)
        assert min(prices) >= asks[0] - 1e-9


def _hostile(run: Run) -> Run:
    s = run.scenario
    scenario = dataclasses.replace(
        s,
        name=HOSTILE, title=HOSTILE, story=HOSTILE,
        dates=dict.fromkeys(s.dates, HOSTILE), variants=dict.fromkeys(s.variants, HOSTILE),
        parties={k: dataclasses.replace(p, name=f"{k} {HOSTILE}") for k, p in s.parties.items()},
        sites={k: dataclasses.replace(x, name=f"{k} {HOSTILE}") for k, x in s.sites.items()},
        assumptions=tuple(dataclasses.replace(a, field=HOSTILE, text=HOSTILE) for a in s.assumptions),
    )  # fmt: skip
    decisions = {
        pair: dataclasses.replace(
            d, missing=(HOSTILE,), would_change=(HOSTILE, HOSTILE), inputs={HOSTILE: HOSTILE}
        )
        for pair, d in run.decisions.items()
    }
    clearing = dataclasses.replace(
        run.clearing,
        rejected=run.clearing.rejected.with_columns(reason=pl.lit(HOSTILE)),
        pools=run.clearing.pools.with_columns(label=pl.lit(HOSTILE)),
    )
    return dataclasses.replace(run, scenario=scenario, decisions=decisions, clearing=clearing, audit=HOSTILE)


def test_a_hostile_name_stays_text(spring: Story) -> None:
    """A party called <script> is shown by that name and does nothing, in the text and in the figures of the charts."""
    main = _hostile(spring.main)
    page = report.render(Story(main, (main, *map(_hostile, spring.dates[2:])), (main,)))
    parsed = Parsed(page)
    assert len(parsed.scripts) == 3
    assert parsed.wrong == []
    assert parsed.stack == []
    assert not parsed.all("img")
    assert " ".join(HOSTILE.split()) in parsed.text
    assert "<" not in parsed.scripts[0]
    named = [chart.columns[1].name for chart in price_charts(main)]
    drawn = [
        one["name"] for spec in specs(parsed).values() if spec["kind"] == "hours" for one in _series(spec)
    ]
    assert named
    assert all(HOSTILE in name and name in drawn for name in named)


def test_many_orders_share_rows_with_their_like(spring: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """A matrix of thousands of cells helps nobody: alike orders are one row, and every kind of order is there."""
    monkeypatch.setattr(rulings, "_CELLS_MAX", 1)
    run = spring.main
    found = rulings.matrix(run, rulings.rulings(run))
    assert found.grouped
    assert len(found.rows) == len(set(run.clearing.book.lot_class))
    assert len(found.bids) == len(set(run.clearing.book.bid_class))


def test_every_pair_has_one_ruling(runs: tuple[Run, ...]) -> None:
    """The rulings split the pairs of lot and bid: none twice, none left out."""
    for run in runs:
        pairs = [pair for ruling in rulings.rulings(run) for pair in ruling.pairs]
        assert len(pairs) == len(set(pairs)) == run.permits.height
        for ruling in rulings.rulings(run):
            assert sorted(
                (lot, bid) for lots, bids in ruling.grouped for lot in lots for bid in bids
            ) == sorted(ruling.pairs)


def test_a_story_of_one_date_and_one_reading_is_a_page_too(fleet: Story) -> None:
    """Most markets are cleared once: nothing is compared then, and nothing is missing."""
    alone = Parsed(report.render(Story(fleet.main, (fleet.main,), (fleet.main,))))
    assert alone.wrong == []
    assert "What changed between the dates" not in alone.text


def test_the_same_story_gives_the_same_page(spring: Story, page: str) -> None:
    """Two readers who made the report from the same files hold the same file."""
    assert report.render(spring) == page


def test_the_page_stays_small_enough_to_mail(page: str) -> None:
    """One file that people pass on."""
    assert len(page.encode()) < 1_500_000


def test_a_report_is_written_whole_or_not_at_all(
    fleet: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader never opens half a page, and a failure leaves the last good one."""
    path = tmp_path / "report.html"
    assert report.write_report(fleet, path) == path
    good = path.read_bytes()
    assert good.rstrip().endswith(b"</html>")

    def broken(_: Story) -> str:
        return "\ud800"  # cannot be written as UTF-8

    monkeypatch.setattr(html, "render", broken)
    with pytest.raises(UnicodeEncodeError):
        report.write_report(fleet, path)
    assert path.read_bytes() == good
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
