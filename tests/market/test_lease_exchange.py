"""Is a placing that is decided again still by the rules, and worth more? On lease markets of several seeds."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from entrepot.market import clear, verify
from entrepot.market.goods import goods
from entrepot.market.lease import divisible
from entrepot.market.lease.exchange import improved
from entrepot.market.lease.instances import LeaseShape, lease_instance
from entrepot.market.lease.whole import Desk, Whole, dive, fit, idle, place
from entrepot.market.watch import Watch

SHAPE = LeaseShape(
    orders=200, periods=8, window_mean=5, chips=3, sites=3, services=3, buyers=2,
    blocks=(8,), all_or_none=0.3, minimum_fill=0.2, all_or_none_lots=0.1, one_pool=0.2,
)  # fmt: skip


def placed(seed: int) -> tuple[Desk, Whole]:
    """Return a market with what the dive alone places."""
    book = lease_instance(SHAPE, seed)
    g = goods(book)
    p, found = divisible(book, g)
    desk = Desk(book, g, p, found)
    none = np.zeros((p.pools, p.periods), dtype=np.int64)
    mix, devices, _ = fit(desk, dive(desk), 0.1, none)
    return desk, place(desk, mix, devices, none)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_is_decided_again_is_covered_and_worth_more(seed: int) -> None:
    """Lots supply what bids hold in every hour, no bid is taken twice, and welfare is what lots and bids add up to."""
    desk, before = placed(seed)
    p = desk.p
    after = improved(desk, before, np.zeros((p.pools, p.periods), dtype=np.int64), Watch())
    assert before.welfare < after.welfare <= desk.found.bound * (1 + 1e-9)
    assert (idle(desk, after) >= 0).all()
    share = np.bincount(p.takers.block[after.mix.taker], after.mix.share)
    assert share.max() <= 1 + 1e-9
    value = float((p.takers.value[after.mix.taker] * after.mix.share).sum())
    asked = float((desk.ask * after.committed * desk.window).sum())
    assert after.welfare == pytest.approx(value - asked)


def test_no_time_changes_nothing() -> None:
    """Without time left the placing stands as it was."""
    desk, before = placed(3)
    none = np.zeros((desk.p.pools, desk.p.periods), dtype=np.int64)
    assert improved(desk, before, none, Watch(0.0)) is before


def test_the_whole_clearing_stands() -> None:
    """What the engine publishes after the exchange passes the independent check."""
    checked = verify(clear(lease_instance(SHAPE, 4)))
    assert checked.ok, checked.checks.filter(~pl.col("ok")).rows()
