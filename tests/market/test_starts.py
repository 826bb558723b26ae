"""Does a bid that may begin on several days have its work once, and where there is room for it?"""

from __future__ import annotations

import shutil
from pathlib import Path

from entrepot import api

_EXAMPLE = Path(__file__).parents[2] / "examples" / "mixed-fleet"


def test_one_start_is_taken(tmp_path: Path) -> None:
    """Two days from any of three: served from one start alone, proved and settled; the others say why not."""
    folder = tmp_path / "market"
    shutil.copytree(_EXAMPLE, folder)
    lines = (folder / "bids.csv").read_text(encoding="utf-8").splitlines()
    lines = [f"{lines[0]},starts", *(f"{line}," for line in lines[1:] if not line.startswith("tulp-code"))]
    lines.append(
        "tulp-code,tulp,completion,1.0,6.00,berlin,,,lease,2026-06-01,2026-06-03,,2026-06-04;2026-06-05"
    )
    (folder / "bids.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    run = api.run(api.load(folder), seconds=1)
    assert run.verification.ok
    three = {"tulp-code", "tulp-code@2026-06-04", "tulp-code@2026-06-05"}
    assert set(run.clearing.book.bids["bid"]) >= three
    served = three & set(run.clearing.allocation["bid"])
    assert len(served) == 1
    reasons = dict(run.clearing.rejected.select("order", "reason").iter_rows())
    assert all("exclusive group" in reasons[name] for name in three - served)
