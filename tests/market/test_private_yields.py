"""Are private yields of a scenario what the market is cleared on?"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl

from entrepot import api
from entrepot.report import tables

_EXAMPLES = Path(__file__).parents[2] / "examples"


def copy(example: str, tmp_path: Path, *rows: str) -> Path:
    """Return a copy of an example with a table of private yields."""
    folder = tmp_path / "market"
    shutil.copytree(_EXAMPLES / example, folder)
    text = "\n".join(("bid,accelerator,factor,source", *rows)) + "\n"
    (folder / "yields.csv").write_text(text, encoding="utf-8")
    return folder


def test_a_better_chip_for_one_bid(tmp_path: Path) -> None:
    """One bid gets twice the work out of an H100: its rate alone is twice as high, proved, and welfare does not fall."""
    folder = copy("mixed-fleet", tmp_path, "tulp-code,nvidia-h100-sxm5-80gb,2,invented for a test")
    plain = api.run(api.load(_EXAMPLES / "mixed-fleet"), settle=False, seconds=1).clearing
    run = api.run(api.load(folder), settle=False, seconds=1)
    book = run.clearing.book
    assert run.verification.ok
    assert book.factor is not None
    b, k = book.bids["bid"].to_list().index("tulp-code"), book.accelerators.index("nvidia-h100-sxm5-80gb")
    expected = np.ones((book.bids.height, len(book.accelerators)))
    expected[b, k] = 2.0
    assert (book.factor == expected).all()
    assert run.clearing.certificate.bound_micro >= plain.certificate.welfare_micro
    shown = tables.work_prices(run).filter(
        (pl.col("bid") == "tulp-code") & (pl.col("mtok_per_device_hour") > 0)
    )
    lot_class = dict(zip(book.lots["accelerator"].to_list(), book.lot_class.tolist(), strict=True))
    of_class = book.rate[book.bid_class[b], lot_class["nvidia-h100-sxm5-80gb"]]
    assert 2.0 * of_class in shown["mtok_per_device_hour"].to_list()


def test_devices_are_bought_on_private_yields(tmp_path: Path) -> None:
    """A buyer that gets half as much again out of a chip for sale has its own rate on it, and what it buys is proved."""
    bid, chip = "birch-chat", "huawei-ascend-910c"
    folder = copy("spring-2025", tmp_path, f"{bid},{chip},1.5,invented for a test")
    run = api.run(api.load(folder), settle=False, seconds=5)
    book, plain = run.clearing.book, api.run(api.load(_EXAMPLES / "spring-2025"), settle=False, seconds=5)
    assert run.verification.ok
    assert book.factor is not None
    assert (book.lots["kind"] == "sale").any()
    sold = run.clearing.trades.filter(pl.col("kind") == "sale")
    assert sold.height
    assert run.clearing.certificate.bound_micro >= plain.clearing.certificate.welfare_micro
