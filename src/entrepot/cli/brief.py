"""What of a table does a terminal have room for? A few columns and round figures; ``-o json`` has everything."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import polars as pl

from entrepot.cli.output import Row
from entrepot.report import compare, tables
from entrepot.report.records import Run, Story

__all__ = ["of_run", "of_story"]

_REASON = 78  # characters of a reason or a paragraph that a row has room for


def of_run(run: Run) -> dict[str, list[Row]]:
    """Return who got what, prices, what stayed unserved, the refusals of one run, and who is made whole, if anyone is."""
    made: list[Row] = [
        {"order": r["order"], "side": r["side"], "amount": f"{r['amount_minor'] / 10**run.clearing.book.minor_digits:,.2f}",
         "why": r["reason"]}
        for r in run.clearing.make_whole.to_dicts()
    ]  # fmt: skip
    return {
        "who_got_what": [
            {
                "buyer": _short(r["buyer"], 34),
                "service": r["service"],
                "wanted Mtok": round(r["demand_mtok"]),
                "served": _percent(r["served_share"]),
                f"paid {r['currency']}": f"{r['paid']:,.0f}",
                "per Mtok": _money(r["price_per_mtok"]),
                "limit": _money(r["limit_per_mtok"]),
            }
            for r in tables.who_got_what(run).to_dicts()
        ],
        "trades": [
            {
                "lot": r["lot"],
                "buyer": r["buyer"],
                "service bid": r["bid"],
                "chip": r["accelerator"],
                "kind": r["kind"],
                "devices": r["devices_max"],
                "mean price": _money(Decimal(r["unit_price_micro"]) / 1_000_000),
            }
            for r in run.clearing.trades.to_dicts()
        ],
        "prices": [
            {
                "chip": r["chip"],
                "site": _short(r["site"], 22),
                "kind": r["kind"],
                "per": r["unit"],
                "mean": _money(r["mean"]),
                "lowest": _money(r["lowest"]),
                "highest": _money(r["highest"]),
                "offered": r["offered_max"],
                "placed": _percent(r["placed_share"]),
            }
            for r in tables.prices_summary(run).to_dicts()
        ],
        "unserved": [
            {"buyer": _short(r["who"], 34), "service": r["service"], "unserved": _percent(r["unserved_share"]),
             "why": _short(r["reason"], 90)}
            for r in tables.unserved(run).to_dicts()
        ],
        "permits": [
            {"outcome": r["outcome"].replace("_", " "), "pairs": r["pairs"], "why": _short(r["reason"], _REASON),
             "paragraph": _short(r["citation"], 52)}
            for r in tables.permits_summary(run).to_dicts()
        ],
        **({"made_whole": made} if made else {}),
    }  # fmt: skip


def of_story(told: Story) -> dict[str, list[Row]]:
    """Return the dates and the readings of contested facts, each as one column."""
    out = {"dates": _turned(compare.dates_compared(told), "date")}
    if len(told.variants) > 1:
        out["variants"] = _turned(compare.variants_compared(told), "variant")
    return out


def _turned(table: pl.DataFrame, head: str) -> list[Row]:
    """Turn a table with a row per case into rows of figures with a column per case."""
    rows = table.to_dicts()
    shown: dict[str, Callable[[dict[str, Any]], str]] = {
        "note": lambda r: _short(r["note"], 44),
        "devices leased (most at once)": lambda r: f"{r['devices_leased']:,}",
        "devices sold": lambda r: f"{r['devices_sold']:,}",
        "paid": lambda r: f"{r['paid']:,.0f} {r['currency']}",
        "work served": lambda r: _percent(r["served_share"]),
        "mean price per Mtok": lambda r: _money(r["price_per_mtok"]),
        "pairs of lot and bid permitted": lambda r: f"{r['permitted']} of {r['permitted'] + r['refused']}",
        "gap to the bound": lambda r: f"{r['gap']:.3%}",
    }
    return [{"": label, **{str(r[head]): text(r) for r in rows}} for label, text in shown.items()]


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _money(amount: Decimal | None) -> str:
    return "–" if amount is None else f"{amount:,.2f}"
