"""Run every benchmark: ``make bench``, or ``python -m bench market`` for one."""

from __future__ import annotations

import platform
import sys
import time

from bench import controls, leading, lease, ledger, market, performance

_ALL = {
    "controls": controls.run,
    "performance": performance.run,
    "leading": leading.run,
    "market": market.run,
    "lease": lease.run,
    "ledger": ledger.run,
}


def main(wanted: list[str]) -> int:
    """Run the named benchmarks, or all of them."""
    unknown = [w for w in wanted if w not in _ALL]
    if unknown:
        print(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(_ALL)}", file=sys.stderr)
        return 2
    print(
        f"Python {platform.python_version()} on {platform.machine()}; times are wall clock, on this machine, now.\n"
    )
    for name in wanted or _ALL:
        start = time.perf_counter()
        print(f"== {name}")
        _ALL[name](print)
        print(f"   ({time.perf_counter() - start:.1f} s)\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
