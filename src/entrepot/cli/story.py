"""``entrepot report`` and ``entrepot init``: tell the whole story, and start one's own."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from entrepot import api, scenario
from entrepot.cli import brief
from entrepot.cli.output import Output, emit, note, stderr_console
from entrepot.report import compare, tables

__all__ = ["init", "report"]


def report(
    folder: Annotated[Path, Parameter(name="SCENARIO")],
    *,
    to: Path = Path("report.html"),
    on: dt.date | None = None,
    variant: str | None = None,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """Go the whole way: clear the market on every date and under every reading, and write one HTML page.

        entrepot report examples/spring-2025
        entrepot report examples/mixed-fleet --to mixed-fleet.html

    Parameters
    ----------
    folder
        the scenario's folder
    to
        where the page goes
    on
        tell this day's market (the scenario's other dates are set beside it)
    variant
        the reading of contested facts that is told
    """
    with stderr_console().status("Clearing the market on every date and under every reading…"):
        told = api.story(folder, as_of=on, variant=variant)
        page = api.write_report(told, to)
    main, show = told.main, output or Output()
    titles = {
        "dates": f"{main.scenario.title}: the same market on each date",
        "variants": f"{main.scenario.as_of} under each reading of contested facts",
        "who_got_what": f"Who got what on {main.scenario.as_of}",
        "trades": "Trades (devices: most at once)",
        "prices": f"Prices in {main.scenario.currency}, uniform per pool",
        "unserved": "What stayed unserved, and why",
        "permits": "Permits and refusals",
    }
    if show.output == "table":
        emit({**brief.of_story(told), **brief.of_run(main)}, kind="story", output=show, titles=titles)
    else:
        every = {
            "dates": compare.dates_compared(told),
            "variants": compare.variants_compared(told),
            "who_got_what": tables.who_got_what(main),
            "trades": main.clearing.trades,
            "prices": tables.prices_summary(main),
            "unserved": tables.unserved(main),
            "permits": tables.permits_summary(main),
        }
        emit({name: table.to_dicts() for name, table in every.items()}, kind="story", output=show)
    proof = main.clearing.certificate
    note(
        f"\nProved on {main.scenario.as_of}: welfare is within {proof.gap:.3%} of a bound that no allocation can exceed; "
        f"{main.verification.checks.height} independent checks passed.\nLedger: {main.audit}"
    )
    note(
        f"\nWrote {page} ({page.stat().st_size / 1024:,.0f} KiB, one file, no outside requests): open it in a browser.\n"
        f"Try next:\n"
        f"  entrepot clear {folder} --save result     then  entrepot verify result\n"
        f"  entrepot check --scenario {folder}        every lot against every bid, with paragraphs\n"
        f"  entrepot catalogue show nvidia-h20-sxm-96gb\n"
        f"  entrepot init my-scenario                 write your own"
    )


def init(folder: Path) -> None:
    """Write a small scenario to start from: it reads and clears as it stands.

        entrepot init my-scenario
        entrepot clear my-scenario

    Parameters
    ----------
    folder
        a new folder
    """
    for file in scenario.init(folder):
        print(file)
    note(f"Try: entrepot clear {folder}")
