"""A picture of supply and demand that needs nothing else: SVG with its own light and dark colours, one panel a pool."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import polars as pl

__all__ = ["curves_svg"]

_WIDTH, _HEIGHT, _COLUMNS = 320.0, 236.0, 3
_LEFT, _RIGHT, _TOP, _BOTTOM, _HEAD = 52.0, 12.0, 46.0, 34.0, 84.0
_MICRO = 1e6
_STYLE = """
svg{--ink:#1b2026;--soft:#56606b;--line:#dfe0dc;--paper:#fff;--c0:#0b6e86;--c1:#c0561a;
font:12px system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",Arial,sans-serif}
@media (prefers-color-scheme:dark){svg{--ink:#e4e7ea;--soft:#9ea8b2;--line:#30363c;--paper:#1a1e22;--c0:#5cc2da;--c1:#ef9a5d}}
.paper{fill:var(--paper)}text{fill:var(--ink)}.tick{fill:var(--soft);font-size:11px}.axis{stroke:var(--line);fill:none}
.supply{stroke:var(--c0);fill:none;stroke-width:2}.demand{stroke:var(--c1);fill:none;stroke-width:2;stroke-dasharray:7 2}
.price{stroke:var(--ink);stroke-dasharray:2 3}.lead{font-weight:600}
"""


def curves_svg(panels: Sequence[pl.DataFrame], title: str, unit: str) -> str:
    """Return small multiples of curves as SVG.

    Parameters
    ----------
    panels : as `pool_curves` gives them, each with a row of supply at least
    unit : of the prices, as words
    """
    columns = min(_COLUMNS, max(1, len(panels)))
    rows = -(-len(panels) // columns)
    width, height = max(2, columns) * _WIDTH, _HEAD + rows * _HEIGHT
    said = "Demand: bought of this pool at each price of it, all other prices as published."
    body = [
        f'<rect class="paper" width="{width:g}" height="{height:g}"/>',
        f'<text class="lead" x="12" y="20">{escape(title)}</text>',
        f'<text class="tick" x="12" y="37">{escape(said)}</text>',
        f'<text class="tick" x="12" y="53">{escape(unit)}; devices to the right.</text>',
    ]
    for i, table in enumerate(panels):
        x, y = (i % columns) * _WIDTH, _HEAD + (i // columns) * _HEIGHT
        body.append(f'<g transform="translate({x:g} {y:g})">{_panel(table)}</g>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img" aria-labelledby="t d">'
        f'<title id="t">{escape(title)}</title><desc id="d">{escape(said)}</desc><style>{_STYLE}</style>'
        + "".join(body)
        + "</svg>\n"
    )


def _panel(table: pl.DataFrame) -> str:
    """Draw one pool: two staircases, the published price, the ends of the axes."""
    first = table.row(0, named=True)
    published = first["published_micro"] / _MICRO
    supply, demand = (table.filter(pl.col("side") == side) for side in ("supply", "demand"))
    offered, wanted = (float(side["devices"].sum()) for side in (supply, demand))
    most_x = max(offered, min(wanted, 2.2 * offered)) * 1.04
    most_y = max(float(supply["price_micro"].max() or 0) / _MICRO, 1.6 * published) * 1.08 or 1.0  # type: ignore[arg-type]
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def at(devices: float, price: float) -> str:
        x = _LEFT + min(devices / most_x, 1.0) * (right - _LEFT)
        y = bottom - min(price / most_y, 1.0) * (bottom - _TOP)
        return f"{x:.1f} {y:.1f}"

    def stairs(side: pl.DataFrame, end: float) -> str:
        points, done = [], 0.0
        for price, devices in side.select("price_micro", "devices").iter_rows():
            points += [at(done, price / _MICRO), at(done + devices, price / _MICRO)]
            done += devices
            if done > most_x:
                break
        return "M" + "L".join([*points, at(done, end)]) if points else "M0 0"

    hour = "" if first["period"] is None else f", period {first['period']}"
    name, at_site, rest = first["label"].partition(" ")
    rest = rest if at_site else "the pool"
    at_price = at(0, published).split()[1]
    return (
        f'<text class="lead" x="{_LEFT:g}" y="2">{escape(name)}</text><text x="{_LEFT:g}" y="17">{escape(rest)}{hour}</text>'
        f'<path class="axis" d="M{_LEFT:g} {_TOP:g}V{bottom:g}H{right:g}"/>'
        f'<path class="supply" d="{stairs(supply, most_y)}"/><path class="demand" d="{stairs(demand, 0.0)}"/>'
        f'<line class="price" x1="{_LEFT:g}" x2="{right:g}" y1="{at_price}" y2="{at_price}"/>'
        f'<text x="{right:g}" y="{float(at_price) - 4:.1f}" text-anchor="end">{published:,.4g}</text>'
        f'<text class="tick" x="{_LEFT - 6:g}" y="{_TOP + 4:g}" text-anchor="end">{most_y:,.3g}</text>'
        f'<text class="tick" x="{_LEFT - 6:g}" y="{bottom:g}" text-anchor="end">0</text>'
        f'<text class="tick" x="{right:g}" y="{bottom + 15:g}" text-anchor="end">{most_x:,.0f}</text>'
        f'<text class="tick" x="{_LEFT:g}" y="35"><tspan style="fill:var(--c0)">supply, solid</tspan>'
        ' <tspan style="fill:var(--c1)">demand, dashed</tspan> price, dotted</text>'
    )
