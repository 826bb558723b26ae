"""Pictures that need nothing else: SVG with its own light and dark colours, readable without scripts, with its table.

Two pictures: the Pareto frontier of throughput against TPOT, and the roofline with the phases of a workload beneath it.
Colours come with names at the lines, so that no colour carries meaning alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

import polars as pl

__all__ = ["page", "pareto_picture", "roofline_picture"]

_WIDTH, _HEIGHT = 860.0, 500.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 70.0, 190.0, 18.0, 56.0
_COLOURS = 8
_STYLE = """
svg{--ink:#1b2026;--soft:#56606b;--line:#dfe0dc;--paper:#fff;
--c0:#0b6e86;--c1:#c0561a;--c2:#5a5cb4;--c3:#86690a;--c4:#a4366c;--c5:#3c7a3a;--c6:#2c6bc4;--c7:#6b7280;
font:13px system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",Arial,sans-serif}
@media (prefers-color-scheme:dark){svg{--ink:#e4e7ea;--soft:#9ea8b2;--line:#30363c;--paper:#1a1e22;
--c0:#5cc2da;--c1:#ef9a5d;--c2:#a3a5f2;--c3:#d8b84a;--c4:#ec86b4;--c5:#84c980;--c6:#7db1f5;--c7:#a3abb5}}
.paper{fill:var(--paper)}text{fill:var(--ink)}.tick{fill:var(--soft)}.grid{stroke:var(--line);stroke-width:1}
.curve{fill:none;stroke-width:2.2;stroke-linejoin:round}.band{stroke:none;opacity:.13}.dot{stroke:var(--paper);stroke-width:1.5}
.lead{stroke:var(--soft);stroke-width:.8;fill:none}
"""


@dataclass(frozen=True, slots=True)
class _Axis:
    """A logarithmic axis: data from ``low`` to ``high`` onto pixels from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        share = (log10(value) - log10(self.low)) / (log10(self.high) - log10(self.low))
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """1, 2, 5 of each decade, or the decades alone where there are many."""
        decades = range(floor(log10(self.low)), ceil(log10(self.high)) + 1)
        steps = (1, 2, 5) if len(decades) <= 4 else (1,)
        values = [m * 10.0**d for d in decades for m in steps]
        return [v for v in values if self.low <= v <= self.high]


def _axes(xs: Sequence[float], ys: Sequence[float]) -> tuple[_Axis, _Axis]:
    def bounds(values: Sequence[float]) -> tuple[float, float]:
        low, high = min(values), max(values)
        return (low / 1.15, high * 1.15) if high > low else (low / 2, low * 2)

    x_low, x_high = bounds(xs)
    y_low, y_high = bounds(ys)
    return (
        _Axis(x_low, x_high, _LEFT, _WIDTH - _RIGHT),
        _Axis(y_low, y_high, _HEIGHT - _BOTTOM, _TOP),
    )


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _frame(x: _Axis, y: _Axis, x_title: str, y_title: str) -> list[str]:
    out = [f'<rect class="paper" width="{_WIDTH:g}" height="{_HEIGHT:g}"/>']
    for value in x.ticks():
        at = x.at(value)
        out.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{y.end:g}" y2="{y.start:g}"/>')
        out.append(
            f'<text class="tick" x="{at:.1f}" y="{y.start + 18:g}" text-anchor="middle">{_number(value)}</text>'
        )
    for value in y.ticks():
        at = y.at(value)
        out.append(f'<line class="grid" x1="{x.start:g}" x2="{x.end:g}" y1="{at:.1f}" y2="{at:.1f}"/>')
        out.append(
            f'<text class="tick" x="{x.start - 8:g}" y="{at + 4:.1f}" text-anchor="end">{_number(value)}</text>'
        )
    middle = (x.start + x.end) / 2
    out.append(f'<text x="{middle:g}" y="{_HEIGHT - 12:g}" text-anchor="middle">{escape(x_title)}</text>')
    centre = (y.start + y.end) / 2
    out.append(
        f'<text x="16" y="{centre:g}" text-anchor="middle" transform="rotate(-90 16 {centre:g})">{escape(y_title)}</text>'
    )
    return out


def _names(labels: Sequence[tuple[float, str, str]], x: float) -> list[str]:
    """Names beside the plot at the height of their lines, moved apart where they would touch."""
    out, floor_ = [], -1e9
    placed = []
    for wanted, name, colour in sorted(labels):
        at = max(wanted, floor_ + 16)
        floor_ = at
        placed.append((wanted, at, name, colour))
    over = max((at for _, at, _, _ in placed), default=0) - (_HEIGHT - _BOTTOM)
    for wanted, moved, name, colour in placed:
        at = moved - max(over, 0)
        out.append(f'<path class="lead" d="M{x + 2:g} {wanted:.1f}L{x + 12:g} {at:.1f}"/>')
        out.append(
            f'<text x="{x + 15:g}" y="{at + 4:.1f}" style="fill:{colour};font-weight:600">{escape(name)}</text>'
        )
    return out


def _svg(body: Sequence[str], title: str, description: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" aria-labelledby="t d">'
        f'<title id="t">{escape(title)}</title><desc id="d">{escape(description)}</desc><style>{_STYLE}</style>'
        + "".join(body)
        + "</svg>"
    )


def pareto_picture(table: pl.DataFrame, title: str) -> str:
    """Return the frontiers as SVG: TPOT to the right, tokens per second and device upward, intervals as bands.

    Parameters
    ----------
    table : as ``frontier`` gives it, at least one row
    """
    chips = table["accelerator"].unique(maintain_order=True).to_list()
    x, y = _axes(
        table["tpot_ms"].to_list(),
        table["tokens_per_s_per_device_low"].to_list() + table["tokens_per_s_per_device_high"].to_list(),
    )
    body = _frame(
        x,
        y,
        "TPOT, ms per output token (left is faster for each user)",
        "output tokens per second and device",
    )
    labels, words = [], []
    for i, chip in enumerate(chips):
        rows = table.filter(pl.col("accelerator") == chip).to_dicts()
        colour = f"var(--c{i % _COLOURS})"
        upper = [(x.at(r["tpot_ms"]), y.at(r["tokens_per_s_per_device_high"])) for r in rows]
        lower = [(x.at(r["tpot_ms"]), y.at(r["tokens_per_s_per_device_low"])) for r in rows]
        line = [(x.at(r["tpot_ms"]), y.at(r["tokens_per_s_per_device"])) for r in rows]
        band = upper + lower[::-1]
        body.append(f'<path class="band" style="fill:{colour}" d="{_path(band)}Z"/>')
        body.append(f'<path class="curve" style="stroke:{colour}" d="{_path(line)}"/>')
        labels.append((line[-1][1], chip, colour))
        top = rows[-1]
        words.append(f"{chip} reaches {_number(top['tokens_per_s_per_device'])} at {top['tpot_ms']:.0f} ms")
    return _svg([*body, *_names(labels, x.end)], title, "; ".join(words))


def roofline_picture(table: pl.DataFrame, title: str) -> str:
    """Return a roofline as SVG: the roofs of a chip, and the phases of a workload as dots beneath them.

    Parameters
    ----------
    table : as ``roofline`` gives it
    """
    x, y = _axes(table["intensity_flop_per_byte"].to_list(), table["tflop_s"].to_list())
    body = _frame(x, y, "arithmetic intensity, FLOP per byte", "TFLOP/s per device")
    labels, words = [], []
    ridges = table.filter(pl.col("kind") == "ridge")
    alike = ridges.group_by("tflop_s", maintain_order=True).agg("label").sort("tflop_s").to_dicts()
    for i, peak in enumerate(alike):
        of_one = (pl.col("label") == peak["label"][0]) & (pl.col("kind") != "phase")
        rows = table.filter(of_one).sort("intensity_flop_per_byte").to_dicts()
        colour = f"var(--c{i % _COLOURS})"
        line = [(x.at(r["intensity_flop_per_byte"]), y.at(r["tflop_s"])) for r in rows]
        body.append(f'<path class="curve" style="stroke:{colour}" d="{_path(line)}"/>')
        labels.append((line[-1][1], ", ".join(label.upper() for label in peak["label"]), colour))
    for i, row in enumerate(table.filter(pl.col("kind") == "phase").to_dicts()):
        colour = f"var(--c{(4 + i) % _COLOURS})"
        across, up = x.at(row["intensity_flop_per_byte"]), y.at(row["tflop_s"])
        said = f"{row['label']}: {_number(row['tflop_s'])} TFLOP/s"
        body.append(f'<circle class="dot" style="fill:{colour}" cx="{across:.1f}" cy="{up:.1f}" r="6"/>')
        right = across < x.start + 0.75 * (x.end - x.start)
        body.append(
            f'<text x="{across + (11 if right else -11):.1f}" y="{up + 5:.1f}" text-anchor="{"start" if right else "end"}">{escape(said)}</text>'
        )
        words.append(f"{said} at {_number(row['intensity_flop_per_byte'])} FLOP per byte")
    return _svg([*body, *_names(labels, x.end)], title, "; ".join(words))


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "".join(f"{'M' if i == 0 else 'L'}{px:.1f} {py:.1f}" for i, (px, py) in enumerate(points))


_PAGE_STYLE = """
:root{color-scheme:light dark;--paper:#f6f6f3;--card:#fff;--ink:#1b2026;--soft:#56606b;--line:#dfe0dc}
@media (prefers-color-scheme:dark){:root{--paper:#121518;--card:#1a1e22;--ink:#e4e7ea;--soft:#9ea8b2;--line:#30363c}}
body{margin:0 auto;max-width:62rem;padding:1.5rem;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",Arial,sans-serif;font-variant-numeric:tabular-nums}
h1{font-size:1.5rem;line-height:1.2;margin:0 0 .4rem}p{margin:.3rem 0 1rem;color:var(--soft)}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.6rem;overflow-x:auto}
svg{display:block;width:100%;min-width:34rem;height:auto}
.table{overflow-x:auto;margin-top:1.4rem}table{border-collapse:collapse;width:100%;font-size:.85rem}
th,td{padding:.25rem .6rem;border-bottom:1px solid var(--line);text-align:left;white-space:nowrap}td.n,th.n{text-align:right}th,th.n{white-space:normal;vertical-align:bottom}
"""


def page(title: str, said: str, picture: str, rows: Sequence[Mapping[str, object]]) -> str:
    """Return one HTML page that needs no network and no script: a picture and its table."""
    head = list(rows[0]) if rows else []
    numeric = {name for name in head if any(isinstance(r[name], int | float) for r in rows)}

    def cell(name: str, value: object, tag: str) -> str:
        text = _number(value) if isinstance(value, float) else str("" if value is None else value)
        mark = ' class="n"' if name in numeric else ""
        return f"<{tag}{mark}>{escape(text)}</{tag}>"

    header = "".join(cell(name, name.replace("_", " "), "th") for name in head)
    body = "".join(f"<tr>{''.join(cell(n, r[n], 'td') for n in head)}</tr>" for r in rows)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_PAGE_STYLE}</style></head><body><h1>{escape(title)}</h1>"
        f"<p>{escape(said)}</p><figure>{picture}</figure>"
        f'<div class="table"><table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table></div></body></html>\n'
    )
