"""Is the leading tool asked what a published row ran, and is what it prints read right? With a stub in its place."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from bench import leading

from entrepot.performance.accuracy.rows import read_rows, shipped_path
from entrepot.performance.calibration.run import load

STUB = """#!/bin/sh
echo "$@" >> "{log}"
case "$2" in
  default) echo "    - Per-GPU Throughput: 2,642.61 tokens/s/gpu"; echo "All experiments completed in 6.93 seconds" ;;
  estimate) echo "  TTFT:             1,180.218 ms"; echo "  TPOT:             12.664 ms" ;;
esac
"""


@pytest.fixture
def stub(tmp_path: Path) -> Path:
    """Return a command that prints what the tool prints, and keeps what it was asked."""
    path = tmp_path / "aiconfigurator"
    path.write_text(STUB.format(log=tmp_path / "asked"), encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_what_the_tool_prints_is_read(stub: Path) -> None:
    """Seconds of its own search, best rate per device, times in seconds; thousands have commas."""
    whole, own, best = leading.search_seconds(stub, "h200_sxm", "Qwen/Qwen3-32B")
    assert whole > 0
    assert (own, best) == (6.93, 2642.61)
    found = leading.tool_estimate(stub, leading.Point(0, "nvidia-h200-sxm-141gb", ("--isl", "1")))
    assert found == (1.180218, 0.012664)
    asked = (stub.parent / "asked").read_text(encoding="utf-8").splitlines()
    assert asked == [
        "cli default --model Qwen/Qwen3-32B --total-gpus 8 --system h200_sxm --isl 1024 --osl 1024 --ttft 2000 --tpot 30",
        "cli estimate --isl 1",
    ]


def test_points_ask_what_the_rows_ran() -> None:
    """Layout, concurrency per rank and format of the row, on the chips and models that both know."""
    rows = [r for r in read_rows(shipped_path()) if r.accelerator.startswith(("H100-SXM", "H200", "B200"))]
    m = load(rows)
    chosen = leading.points(m)
    assert len(chosen) > 20
    for point in chosen:
        c = m.asked.conditions[point.row]
        asked = dict(zip(point.arguments[::2], point.arguments[1::2], strict=True))
        assert asked["--tp-size"] == f"{c.tp:g}"
        assert int(asked["--batch-size"]) * c.dp * max(c.replicas, 1) == pytest.approx(
            c.concurrency, rel=0.2, abs=c.dp
        )
        if "--moe-ep-size" in asked:
            assert int(asked["--moe-ep-size"]) * int(asked["--moe-tp-size"]) == c.tp * c.dp


def test_where_it_is_not_installed_nothing_is_claimed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No tool, no number: how to install it."""
    monkeypatch.setenv("ENTREPOT_AICONFIGURATOR", str(tmp_path / "none"))
    said: list[str] = []
    leading.run(said.append)
    assert len(said) == 1
    assert "not installed" in said[0]
