"""How far off is the model on published rows that taught it nothing: GPUStack's performance lab, SGLang's cookbook, two blogs?

``unseen.csv`` has three sets by the first word of the id. ``seen``: at hand while the form of a burst was made, no constant is fitted
to it. ``once``: opened when the form was done. ``cookbook``: closed loops of SGLang's cookbook; that its lengths are random was
read from its commands. Bounds are rounded up from what was measured; figures stand in docs/performance.md.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from entrepot.performance.accuracy.rows import read_rows
from entrepot.performance.calibration.run import Material, Model, load, metric_of, predict
from entrepot.performance.coefficients import coefficients
from entrepot.performance.effects import shipped_effects
from entrepot.performance.records import F64

UNSEEN = Path(__file__).parent / "unseen.csv"


@pytest.fixture(scope="module")
def unseen() -> tuple[Material, F64]:
    """Return the rows and log(predicted / measured) of each."""
    m = load(read_rows(UNSEEN))
    return m, predict(m, Model(coefficients(), shipped_effects())).log - m.log_value


def test_every_unseen_row_is_answered_and_taught_nothing(unseen: tuple[Material, F64]) -> None:
    """All conditions can be read, and no source of these rows stands among the measurements."""
    m, off = unseen
    assert not m.asked.others
    assert np.isfinite(off).all()
    shipped = Path(__file__).parents[2] / "src/entrepot/performance/data/measurements.csv"
    taught = {r["source"].split("@")[0] for r in csv.DictReader(shipped.open(encoding="utf-8"))}
    assert not taught & {r.source.split("@")[0] for r in m.asked.rows}


@pytest.mark.parametrize("part", ["seen", "once", "cookbook"])
@pytest.mark.parametrize("metric", ["rate", "tpot_s", "ttft_s"])
def test_unseen_rows_are_answered_as_well_as_the_docs_say(
    unseen: tuple[Material, F64], part: str, metric: str
) -> None:
    """Median errors of each set and metric stay under what was measured, rounded up."""
    m, off = unseen
    chosen = [i for i, r in enumerate(m.asked.rows) if r.id.startswith(part) and metric_of(m, i) == metric]
    assert float(np.median(np.abs(np.expm1(off[chosen])))) <= BOUNDS[part, metric]


BOUNDS = {
    ("seen", "rate"): 1.0,
}
