"""What do a few points of a user's own bring on a chip or model that was never measured?

    python tools/own_points.py [SILICON]

Each chip, then each model, is left out of the fit. In every cell (chip, model, stack, format) with at least 9 clean rows of a
metric, 1, 3 or 5 rows drawn at random become offsets as ``performance calibrate`` makes them; the other rows are judged with
them and without. Ten draws. Prints median errors over the rows judged.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from entrepot.performance.accuracy.rows import shipped_path
from entrepot.performance.calibration.heldout import held_by
from entrepot.performance.calibration.own_runs import shrinkage
from entrepot.performance.calibration.run import metric_of, read_material

_LEAST = 9
_DRAWS = 10
_POINTS = (1, 3, 5)


def main() -> None:
    """Leave out, draw, judge, print."""
    silicon = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    m = read_material(shipped_path(), silicon)
    use = np.array([flag == "" for flag in m.flag])
    for by in ("chip", "model"):
        held = held_by(m, use, by)
        off = held.residual
        cells: dict[tuple[str, str], list[int]] = {}
        for i in np.flatnonzero(use & np.isfinite(off)):
            cells.setdefault((metric_of(m, int(i)), m.keys[i].at("cell")), []).append(int(i))
        cells = {key: members for key, members in cells.items() if len(members) >= _LEAST}
        for metric in sorted({metric for metric, _ in cells}):
            groups = [
                (off[members], shrinkage(held.deviation[members], held.unknown[members]))
                for (name, _), members in cells.items()
                if name == metric
            ]
            said = [f"no points {_median(np.concatenate([g for g, _ in groups])):.1f} %"]
            for points in _POINTS:
                rng = np.random.default_rng(points)
                left = []
                for _ in range(_DRAWS):
                    for group, weight in groups:
                        mixed = rng.permutation(group)
                        offset = -mixed[:points].sum() / (points + weight)
                        left.append(mixed[points:] + offset)
                said.append(f"{points}: {_median(np.concatenate(left)):.1f} %")
            rows = sum(len(group) for group, _ in groups)
            print(f"{by} left out, {metric}, {len(groups)} cells, {rows} rows: {', '.join(said)}")


def _median(log_error: np.ndarray) -> float:
    return float(100 * np.median(np.abs(np.expm1(log_error))))


if __name__ == "__main__":
    main()
