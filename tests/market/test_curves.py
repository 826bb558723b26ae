"""Do supply and demand of a pool cross at its published price, and is each drawn as it is said to be?"""

from __future__ import annotations

from xml.etree import ElementTree

import polars as pl
import pytest

from entrepot.errors import NotFound
from entrepot.market import clear
from entrepot.market.curve_picture import curves_svg
from entrepot.market.curves import pool_curves, traded
from entrepot.market.instances import Shape, instance


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_curves_cross_at_the_published_price(seed: int) -> None:
    """At the price, what must be bought is at most what may be sold, and the other way round, within a slice of each bid there."""
    c = clear(instance(Shape(orders=200, chips=4, sites=3, periods=2), seed), seconds=1.0)
    pairs = traded(c)
    assert len(pairs) > 5
    for pool, period in pairs:
        table = pool_curves(c, pool, period)
        p = pl.col("published_micro")
        near = p * 1e-6 + 2

        def devices(side: str, where: pl.Expr, table: pl.DataFrame = table) -> float:
            return float(table.filter((pl.col("side") == side) & where)["devices"].sum())

        must_buy = devices("demand", pl.col("price_micro") > p + near)
        may_buy = devices("demand", pl.col("price_micro") >= p - near)
        must_sell = devices("supply", pl.col("price_micro") < p - near)
        may_sell = devices("supply", pl.col("price_micro") <= p + near)
        slices = table.filter(pl.col("side") == "demand").height  # each bid rounds to whole devices
        assert must_buy <= may_sell + slices
        assert must_sell <= may_buy + slices
        out = c.prices.filter((pl.col("pool") == pool) & (pl.col("period") == period))["supplied"][0]
        assert must_buy - slices <= out <= may_buy + slices


def test_a_bid_takes_a_pool_up_to_what_the_other_costs() -> None:
    """A bid worth 10 turns to the other pool where that costs less."""
    c = clear(instance(Shape(orders=60, chips=2, sites=1, services=1, buyers=1, legal_share=1.0), 3))
    pools = c.prices.select("pool", "price_micro").rows()
    assert len(pools) == 2
    (a, _), (_, other) = pools
    g = c.book.rate
    table = pool_curves(c, a, 0).filter(pl.col("side") == "demand")
    of_a = int(c.book.lot_class[(c.lot_pool["pool"] == a).to_numpy().argmax()])
    of_b = int(c.book.lot_class[(c.lot_pool["pool"] != a).to_numpy().argmax()])
    most = round(float(g[0, of_a]) * other / float(g[0, of_b]))
    assert table["price_micro"].max() == pytest.approx(most, abs=1)


def test_what_is_not_there_is_named() -> None:
    """A pool or a period that is not offered is an error that names those that are."""
    c = clear(instance(Shape(orders=40), 0))
    with pytest.raises(NotFound):
        pool_curves(c, 10_000, 0)
    with pytest.raises(NotFound):
        pool_curves(c, 0, 99)


def test_a_picture_has_a_panel_a_pool_and_stays_on_the_page() -> None:
    """The drawing is XML, and every pool's name and published price stand in it."""
    c = clear(instance(Shape(orders=60, chips=2, sites=2), 1))
    panels = [pool_curves(c, k, t) for k, t in traded(c)]
    drawn = curves_svg(panels, "Curves <of> all", "USD per device-hour")
    root = ElementTree.fromstring(drawn)  # noqa: S314 - our own drawing
    words = " ".join(root.itertext())
    assert "Curves <of> all" in words
    for panel in panels:
        assert all(word in words for word in panel["label"][0].split(" ", 1))
        assert f"{panel['published_micro'][0] / 1e6:,.4g}" in words
