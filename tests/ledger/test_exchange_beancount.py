"""The journal in beancount: checked by the real ``bean-check``, and read back by beancount's own loader."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from beancount import loader
from beancount.core import data
from beancount.core.account import is_valid
from beancount.core.amount import CURRENCY_RE
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot.errors import InputError
from entrepot.ledger import Account, Ledger, Slot
from entrepot.ledger.exchange.beancount import beancount
from entrepot.ledger.exchange.names import (
    account_name,
    account_of,
    commodity_name,
    commodity_of,
    link_name,
    lot_name,
    lot_of,
    money_digits,
)

from .journals import journals, names

if TYPE_CHECKING:
    from .conftest import Write

SLOT = "2025-07-01..2025-10-01/h08-20"


def bean_check(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the real program on a file."""
    file = folder / "ledger.beancount"
    file.write_text(text, encoding="utf-8")
    program = Path(sys.executable).parent / "bean-check"
    return subprocess.run([program, "--no-cache", file], capture_output=True, text=True, check=False)


@pytest.fixture
def traded(books: Ledger, write: Write) -> Ledger:
    """Books with a sale, a lease, and a sale that was undone."""
    books.post(write.sale("sale-1", 8, fen=123_456_789))
    books.post(write.lease("lease-1", SLOT, 40))
    books.post(write.sale("sale 2/é", 2, fen=1))
    books.reverse("sale 2/é", at=write.at, cause='a "mistake" \\ undone')
    return books


def test_bean_check_passes_the_export(traded: Ledger, tmp_path: Path) -> None:
    """Beancount works every transaction and every asserted balance out again, and finds nothing."""
    text = beancount(traded.chain())
    done = bean_check(text, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (
        "balance Assets:Alder:Lf-1:Available  16 ~ 0 NVIDIA-H20-SXM-96GB" in text
    )  # 64 - 8 always, - 40 in the slot
    assert "balance Liabilities:Birch:Payable:Alder  -1234567.89 ~ 0 CNY" in text


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (r"(Assets:Birch:Ulq-1:Available  )8", r"\g<1>9", "does not balance"),
        (r"(Payable:Alder  )-1234567\.89( CNY)", r"\g<1>-1234567.88\2", "does not balance"),
        (r"(balance Assets:Birch:Ulq-1:Available  )8", r"\g<1>9", "Balance failed"),
        (r"(balance Liabilities:Birch:Payable:Alder  -1234567\.8)9", r"\g<1>8", "Balance failed"),
        (r"(Available  -8 NVIDIA-H20-SXM-96GB \{1 )LOT\.A-H20", r"\g<1>LOT.OTHER", "does not balance"),
        (
            r"\d{4}-\d\d-\d\d open Assets:Birch:Ulq-1:Available\n",
            "",
            "[Ii]nvalid reference to unknown account",
        ),
    ],
)
def test_bean_check_finds_what_is_altered(
    traded: Ledger, tmp_path: Path, old: str, new: str, said: str
) -> None:
    """A device, a fen, a lot or an account that is not as posted: the check of the export can fail."""
    text, changes = re.subn(old, new, beancount(traded.chain()), count=1)
    assert changes == 1
    done = bean_check(text, tmp_path)
    assert done.returncode != 0
    assert re.search(said, done.stdout + done.stderr)


def test_what_an_entry_is_travels_as_metadata_and_links(traded: Ledger) -> None:
    """Time in UTC, number, hash; a reversal is linked with what it undoes."""
    found, errors, _ = loader.load_string(beancount(traded.chain()))
    assert errors == []
    transactions = [entry for entry in found if isinstance(entry, data.Transaction)]
    by_entry = {t.meta["entry"]: t for t in transactions}
    for sealed in traded.chain():
        t = by_entry[sealed.entry.id]
        assert t.narration == sealed.entry.cause
        assert (t.meta["seq"], t.meta["hash"]) == (Decimal(sealed.seq), sealed.hash)
        assert t.meta["at"] == "2025-05-15T00:00:00.000000Z"
    undone, reversal = by_entry["sale 2/é"], by_entry["sale 2/é/reversal"]
    assert undone.links & reversal.links == {link_name("sale 2/é")}
    lots = {c.currency: c.meta for c in found if isinstance(c, data.Commodity)}
    assert lots["LOT.A-H20"]["authorisation"] == "no licence required"
    assert str(lots["LOT.A-H20"]["imported-on"]) == "2024-09-01"


@given(books=journals())
@settings(max_examples=25, deadline=None)
def test_beancount_comes_to_the_same_balances(books: Ledger) -> None:
    """Second opinion: beancount's loader, our names read back, every account, lot and slot; for any journal."""
    found, errors, _ = loader.load_string(beancount(books.chain()))
    assert errors == []
    total: dict[tuple[str, str, str, str], int] = defaultdict(int)
    for t in found:
        if isinstance(t, data.Transaction):
            for p in t.postings:
                assert p.units is not None
                account, slot = account_of(p.account)
                commodity = commodity_of(p.units.currency)
                lot = "" if p.cost is None else lot_of(str(p.cost.currency))
                quantity = Decimal(p.units.number or 0).scaleb(money_digits(commodity))
                assert quantity == int(quantity)
                total[account, commodity, lot, slot] += int(quantity)
    rows = books.balances().select("account", "commodity", "unit_lot", "slot", "quantity").rows()
    assert {key: n for key, n in total.items() if n} == {row[:4]: row[4] for row in rows}
    books.close()


@given(
    st.lists(names(), min_size=1, max_size=3),
    names(),
    st.sampled_from(["", SLOT, "2025-07-01/h08", "0999-01-01/h23"]),
)
@settings(max_examples=300, deadline=None)
def test_an_account_reads_back(parts: list[str], site: str, slot: str) -> None:
    """The way back exists, so no two accounts become one; and beancount takes the name."""
    for account in (
        f"{parts[0]}:{site}:leased:{parts[-1]}",
        f"{parts[0]}:payable:{parts[-1]}",
        f"{parts[0]}:opening",
    ):
        Account.parse(account)
        name = account_name(account, slot)
        assert account_of(name) == (account, str(Slot.parse(slot)) if slot else "")
        assert is_valid(name)


@given(names('abzABZ019-./_ é"') | st.from_regex(r"[A-Z]{3}\.[a-z]{1,5}", fullmatch=True))
@settings(max_examples=500, deadline=None)
def test_a_commodity_reads_back(name: str) -> None:
    """Accelerators, currencies and lots: each has one name in beancount, and each name one meaning."""
    assert commodity_of(commodity_name(name)) == name
    assert lot_of(lot_name(name)) == name
    assert commodity_name(name) != lot_name(name)
    for written in (commodity_name(name), lot_name(name)):
        assert re.fullmatch(CURRENCY_RE, written)
        assert not written.startswith("LOT.") or written == lot_name(name)


@pytest.mark.parametrize(
    "name", ["true", "null", "t", "p", "cny", "usd.cent", "lot.a", "CNY", "TRUE", "x--1z", "LOT.a"]
)
def test_names_that_mean_something_to_beancount_are_written_out(name: str) -> None:
    """A device that is called like a currency, a flag or a keyword is not taken for one."""
    assert commodity_name(name).startswith("X--")


def test_an_empty_ledger_is_an_empty_file(tmp_path: Path) -> None:
    """Nothing is asserted of nothing."""
    with Ledger.open() as books:
        assert bean_check(beancount(books.chain()), tmp_path).returncode == 0


def test_the_last_day_of_dates_is_told(write: Write) -> None:
    """There is no day after 9999-12-31 to assert balances on."""
    with Ledger.open() as books:
        books.post(write.held())
        books.reverse("opening/a-h20", at=write.at.replace(year=9999, month=12, day=31))
        with pytest.raises(InputError, match="no day after"):
            beancount(books.chain())
