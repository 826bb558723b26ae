"""The page stands alone, says what the run says, and cannot be broken by a name."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest

from entrepot import api, report
from entrepot.report.records import Story

ROOT = Path(__file__).parents[2]
VENDOR = Path(report.__file__).parent / "assets" / "vendor"
VOID = {
    "meta",
    "link",
    "br",
    "hr",
    "img",
    "input",
    "col",
    "wbr",
    "path",
    "circle",
    "rect",
    "line",
    "use",
    "polyline",
    "polygon",
}


@pytest.fixture(scope="module")
def told() -> Story:
    """Return the story of the mixed fleet: small, and real from end to end."""
    return api.story(ROOT / "examples" / "mixed-fleet")


@pytest.fixture(scope="module")
def page(told: Story) -> str:
    """Return its page."""
    return report.render(told)


class Balanced(HTMLParser):
    """Collect tags that are closed wrongly, and what the page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.loads: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an opening tag and what it would load."""
        if tag not in VOID:
            self.open.append(tag)
        held = dict(attrs)
        if tag in {"script", "img", "iframe", "link", "source", "video", "audio"}:
            self.loads += [str(held[k]) for k in ("src", "href") if held.get(k)]

    def handle_endtag(self, tag: str) -> None:
        """Note a closing tag."""
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        """Collect text."""
        self.text.append(data)


def parsed(page: str) -> Balanced:
    """Return the page as the parser saw it."""
    parser = Balanced()
    parser.feed(page)
    return parser


def test_the_page_asks_for_nothing_outside_itself(page: str) -> None:
    """A report must open on a machine without a network, years later."""
    found = parsed(page)
    assert [x for x in found.loads if not x.startswith(("data:", "#"))] == []
    styles = "".join(re.findall(r"<style.*?</style>", page, re.DOTALL))
    assert "@import" not in styles
    assert "url(http" not in styles


def test_the_page_is_well_formed(page: str) -> None:
    """Every tag that is opened is closed, in order."""
    found = parsed(page)
    assert found.wrong == []
    assert found.open == []


def test_every_order_is_named(told: Story, page: str) -> None:
    """Whoever wrote a lot or a bid finds it on the page."""
    text = " ".join(parsed(page).text)
    for order in [*(lot.id for lot in told.main.scenario.lots), *(bid.id for bid in told.main.scenario.bids)]:
        assert order in text


def test_every_assumption_is_shown(told: Story, page: str) -> None:
    """What no source states stands on the page as an assumption."""
    text = " ".join(" ".join(parsed(page).text).split())
    for assumption in told.main.scenario.assumptions:
        assert " ".join(assumption.text.split()) in text


def test_a_hostile_name_stays_text(told: Story) -> None:
    """A party called <script> is shown by that name and does nothing."""
    hostile = "</script><script>alert(1)</script>"
    scenario = dataclasses.replace(told.main.scenario, title=hostile, story=hostile)
    run = dataclasses.replace(told.main, scenario=scenario)
    page = report.render(Story(run, (run,), (run,)))
    assert "<script>alert(1)" not in page


def test_the_page_stays_small_enough_to_mail(page: str) -> None:
    """One file that people pass on."""
    assert len(page.encode()) < 1_500_000


def test_vendored_files_are_what_they_were_when_they_were_read() -> None:
    """The hash beside each vendored file is its hash."""
    listed = tomllib.loads((VENDOR / "VENDOR.toml").read_text(encoding="utf-8"))
    hashes = re.findall(r"[0-9a-f]{64}", (VENDOR / "VENDOR.toml").read_text(encoding="utf-8"))
    scripts = sorted(VENDOR.glob("*.js"))
    assert listed
    assert scripts
    for script in scripts:
        assert hashlib.sha256(script.read_bytes()).hexdigest() in hashes
