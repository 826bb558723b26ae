"""Is a question about one chip quick, and does it leave the heavy libraries alone?"""

import subprocess
import sys

PROBE = """
import sys, time
start = time.perf_counter()
from entrepot import catalogue
from entrepot.catalogue import demand, explain, hf_config, shape
imported = time.perf_counter()
catalogue.accelerator("nvidia-h20-sxm-96gb")
first = time.perf_counter()
catalogue.accelerator("910c")
second = time.perf_counter()
heavy = {"polars", "numpy", "scipy", "pydantic", "sqlalchemy", "highspy"} & set(sys.modules)
print(imported - start, first - imported, second - first, ",".join(sorted(heavy)) or "none")
"""


def test_the_first_answer_comes_fast_and_without_table_libraries() -> None:
    """``entrepot --help`` and ``entrepot check`` must not wait for polars. Generous limits: the machine may be busy."""
    runs = [
        subprocess.run(
            [sys.executable, "-c", PROBE], capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(3)
    ]
    assert {r[3] for r in runs} == {"none"}
    imported, first, second = (min(float(r[n]) for r in runs) for n in range(3))
    assert imported < 0.5
    assert first < 0.5
    assert second < 0.05
