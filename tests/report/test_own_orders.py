"""Does the page tell each participant its own orders, all of them, and who may use what?"""

from __future__ import annotations

import pytest

from entrepot.report.heat import heat
from entrepot.report.participants import participants
from entrepot.report.records import Run
from entrepot.report.tables import proof


def test_every_order_is_explained_once(runs: tuple[Run, ...]) -> None:
    """Each lot and bid stands with its own party, with what it asked, what prices said and what it got."""
    for run in runs:
        told = [(who["party"], o["side"], o["order"]) for who in participants(run) for o in who["orders"]]  # type: ignore[attr-defined]
        book = run.clearing.book
        lots = [(p, "lot", o) for o, p in book.lots.select("lot", "seller").iter_rows()]
        bids = [(p, "bid", o) for o, p in book.bids.select("bid", "buyer").iter_rows()]
        assert sorted(told) == sorted(lots + bids)


def test_who_did_not_get_all_reads_why(runs: tuple[Run, ...]) -> None:
    """An order that is listed as rejected has its reason; one in the money is marked."""
    for run in runs:
        said = {(o["side"], o["order"]): o for who in participants(run) for o in who["orders"]}  # type: ignore[attr-defined]
        for r in run.clearing.rejected.iter_rows(named=True):
            order = said[r["side"], r["order"]]
            assert order["listed"] == r["in_the_money"]
            assert order["why"] in {r["reason"], ""}


def test_the_grid_refuses_what_the_law_refuses(runs: tuple[Run, ...]) -> None:
    """A cross where no permit is, and nowhere else; work is only taken where there is a price."""
    for run in runs:
        book, grid = run.clearing.book, heat(run)
        law = {
            (k, c): ok for k, c, ok in book.permits.select("lot_class", "bid_class", "permitted").iter_rows()
        }
        pool = dict(run.clearing.lot_pool.select("pool", "lot").iter_rows())
        lot = {name: int(k) for name, k in zip(book.lots["lot"], book.lot_class, strict=True)}
        for number, (_, _, cells) in zip(run.clearing.pools["pool"], grid.rows, strict=False):
            for bid_class, cell in zip(book.bid_class, cells, strict=False):
                assert (cell.state == "refused") == (not law[lot[pool[number]], int(bid_class)])
                assert cell.used is None or cell.state == "may"


def test_the_proof_in_one_row(runs: tuple[Run, ...]) -> None:
    """Welfare, bound and gap are those of the certificate, and the verdict that of the check."""
    row = proof(runs[0]).row(0, named=True)
    assert row["verified"] is True
    assert row["gap"] == pytest.approx(float((row["bound"] - row["welfare"]) / row["bound"]), abs=1e-9)
