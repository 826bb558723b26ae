"""``entrepot size`` and ``entrepot compare``: what does a service need, and which chip is worth what for it?"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from entrepot import api, catalogue, performance
from entrepot.catalogue import demand
from entrepot.cli.asked import Asked, positive
from entrepot.cli.output import Output, emit, note
from entrepot.errors import Fault, InputError

if TYPE_CHECKING:
    pass

__all__ = ["compare", "size"]


def size(
    model: str | None = None,
    *,
    requests_per_s: float | None = None,
    hourly: str | None = None,
    by_hour: bool = False,
    chip: str | None = None,
    scenario: Path | None = None,
    on: dt.date | None = None,
    variant: str | None = None,
    pools: Annotated[bool, Parameter(negative="")] = False,
    asked: Annotated[Asked | None, Parameter(name="*")] = None,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """Say what a service needs in each kind of chip, as an interval, in whole replicas.

        entrepot size deepseek-r1 --requests-per-s 914 --chip nvidia-h20-sxm-96gb
        entrepot size llama-3.1-70b --requests-per-s 20 --mix azure-llm-2023-conv --tpot-ms 50 --arrivals mix --percentile 90
        entrepot size deepseek-r1 --requests-per-s 417 --hourly servegen-deepseek-r1 --by-hour --chip h20-sxm-96gb
        entrepot size deepseek-r1 --requests-per-s 50 --chip h20-sxm-96gb --ttft-ms 3000 --tpot-ms 50 --pools
        entrepot size --scenario examples/spring-2025

    Parameters
    ----------
    model
        the AI model, by id
    requests_per_s
        the load; with --hourly, its mean over the day
    hourly
        a public daily curve; the answer then covers its peak hour
    by_hour
        one row per hour of that curve, with the devices that the peak leaves idle
    chip
        one or more chips, comma-separated; all chips that can run it if left out
    scenario
        size every service of this scenario for its own party's chips instead
    on
        the scenario's day
    variant
        the scenario's reading of contested facts
    pools
        weigh separate pools for prefill and decode too; what they gain is judged, not measured
    """
    show, work = output or Output(), asked or Asked()
    if scenario is not None:
        with work.own_runs:
            table = api.sized(api.load(scenario, as_of=on, variant=variant), pools=pools)
        emit(table.to_dicts(), kind="sizes", output=show)
        return
    if model is None or requests_per_s is None:
        raise InputError(Fault("size", "MODEL or --requests-per-s not given", "Name both, or a --scenario."))
    positive("--requests-per-s", requests_per_s)
    curve = [requests_per_s * c for c in demand.hourly(hourly)] if hourly else [requests_per_s]
    options: dict[str, Any] = {
        "mix": work.mix,
        "slo": work.slo,
        "prefix_hit_share": work.prefix_hit_share,
        "arrival_scv": work.arrival_scv,
        "speculation": work.speculation,
        "pools": pools,
    }
    if by_hour:
        if hourly is None or chip is None:
            raise InputError(
                Fault(
                    "--by-hour", "--hourly or --chip not given", "Name a daily curve and the chips to size."
                )
            )
        with work.own_runs:
            table = api.size_by_hour(model, curve, chips=_names(chip) or [], **options)
        emit(table.to_dicts(), kind="sizes-by-hour", output=show)
        return
    with work.own_runs:
        table = api.size(model, curve, chips=_names(chip), **options)
    if chip is None and show.output == "table":
        table = table.filter(table["devices_central"].is_not_null())
    emit(table.to_dicts(), kind="sizes", output=show)
    note(
        "low, central and high: at the high, central and low end of the rate (docs/performance.md says how good it is)."
    )


def compare(
    model: str,
    *,
    chips: str | None = None,
    base: str | None = None,
    price: Sequence[str] = (),
    catalogue_prices: bool = False,
    pareto: Path | None = None,
    pools: Annotated[bool, Parameter(negative="")] = False,
    asked: Annotated[Asked | None, Parameter(name="*")] = None,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """Say what each chip delivers for one kind of work, best first: Mtok per device-hour, layout, what binds.

        entrepot compare deepseek-r1 --chips nvidia-h20-sxm-96gb,nvidia-h200-sxm-141gb,huawei-ascend-910c
        entrepot compare deepseek-r1 --chips h20-sxm-96gb,h200-sxm-141gb --base h200-sxm-141gb --tpot-ms 50
        entrepot compare qwen3-32b --chips h20-sxm-96gb,l20-48gb --price h20-sxm-96gb=1.10 --price l20-48gb=0.45
        entrepot compare llama-3.1-70b --mix azure-llm-2023-conv --tpot-ms 50 --catalogue-prices
        entrepot compare deepseek-r1 --chips h20-sxm-96gb,h200-sxm-141gb --ttft-ms 3000 --pareto pareto.html

    One Mtok is a million output tokens together with the input tokens that the mix brings along.

    Parameters
    ----------
    model
        the AI model, by id
    chips
        comma-separated; all chips if left out
    base
        how many of each chip equal one of this
    price
        CHIP=PRICE of a device-hour; adds the cost of one Mtok; once per chip
    catalogue_prices
        the same with the range of the catalogue's lease prices in USD
    pareto
        write the frontier of throughput against TPOT as a picture: FILE.svg, or FILE.html with its table; without pools
    pools
        weigh separate pools for prefill and decode too; what they gain is judged, not measured
    """
    show, work = output or Output(), asked or Asked()
    names = _names(chips)
    prices = _prices(price)
    base_id = None if base is None else catalogue.accelerator(base).id
    if (
        base_id is not None
        and names is not None
        and base_id not in {catalogue.accelerator(n).id for n in names}
    ):
        names = [*names, base_id]
    if pareto is not None and pareto.suffix not in {".svg", ".html"}:
        raise InputError(
            Fault("--pareto", f"{pareto} is neither .svg nor .html", "Name a file of either kind.")
        )
    with work.own_runs:
        table = api.compare(
            model,
            mix=work.mix,
            chips=names,
            slo=work.slo,
            prefix_hit_share=work.prefix_hit_share,
            arrival_scv=work.arrival_scv,
            speculation=work.speculation,
            pools=pools,
        )
        if pareto is not None:
            _pareto(model, work, names, pareto)
    if base_id is not None:
        table = performance.equivalents(table, base_id)
    if catalogue_prices:
        prices = {**api.lease_prices(table["accelerator"].to_list()), **prices}
    if prices:
        table = performance.costs(table, prices)
    if show.output != "table":
        emit(table.to_dicts(), kind="comparison", output=show)
        return
    rows = [r for r in table.to_dicts() if r["mtok_per_device_hour_central"] is not None]
    best = max((r["mtok_per_device_hour_central"] for r in rows), default=0.0)
    emit([_brief(r, best, base_id) for r in rows], kind="comparison", output=show)
    _runners_up(rows)
    if unanswered := table.height - len(rows):
        note(f"{unanswered} chips have no answer (-o json says why for each).")


def _brief(row: dict[str, Any], best: float, base: str | None) -> dict[str, object]:
    """Return what of a row a terminal has room for."""
    out: dict[str, object] = {
        "chip": row["accelerator"],
        "low": row["mtok_per_device_hour_low"],
        "Mtok/device-h": row["mtok_per_device_hour_central"],
        "high": row["mtok_per_device_hour_high"],
    }
    if base is None and "cost_per_mtok_central" not in row:
        out[" "] = "█" * round(24 * row["mtok_per_device_hour_central"] / best) if best else ""
    if base is not None:
        ends = [row[f"devices_per_base_{end}"] for end in ("low", "central", "high")]
        out[f"equal 1 {base}"] = f"{ends[1]:.3g} ({ends[0]:.2g} to {ends[2]:.2g})"
    if "cost_per_mtok_central" in row:
        cost = row["cost_per_mtok_central"]
        low, high = row["cost_per_mtok_low"], row["cost_per_mtok_high"]
        out[f"{row['currency'] or 'price'}/Mtok"] = None if cost is None else f"{cost} ({low} to {high})"
    out |= {"layout": row["layout"], "binds": row["binds"], "basis": row["basis"]}
    return out


def _runners_up(rows: Sequence[dict[str, Any]]) -> None:
    """Say beside the table what came next on each of the first chips, and why it is worse."""
    for row in rows[:3]:
        if row["runner_up"] is not None:
            share = row["runner_up_share"]
            note(
                f"{row['accelerator']}: next {row['runner_up']}, {share:.0%} of the rate: {row['runner_up_why']}"
            )


def _pareto(model: str, work: Asked, names: Sequence[str] | None, path: Path) -> None:
    if names is None:
        raise InputError(Fault("--pareto", "--chips not given", "Name the chips to draw, at most eight."))
    asked = api.work_of(
        model,
        mix=work.mix,
        slo=work.slo,
        prefix_hit_share=work.prefix_hit_share,
        arrival_scv=work.arrival_scv,
    )
    shape = catalogue.model(model)
    chosen = [catalogue.accelerator(n) for n in names]
    table = performance.frontier(asked, chosen, shape, speculation=work.speculation)
    if table.is_empty():
        raise InputError(
            Fault(
                "--pareto",
                "no chip of these has a rate within the limit on TTFT",
                "Loosen it, or name other chips.",
            )
        )
    title = f"{shape.name}: throughput against time per output token"
    limit = "no limit on TTFT" if work.ttft_ms is None else f"TTFT within {work.ttft_ms:g} ms"
    said = f"Request sizes {work.mix}, p{work.percentile:g}, {limit}. Bands are the intervals of the model."
    picture = performance.pareto_picture(table, title)
    text = picture if path.suffix == ".svg" else performance.page(title, said, picture, table.to_dicts())
    path.write_text(text, encoding="utf-8")
    note(f"wrote {path}")


def _prices(given: Sequence[str]) -> dict[str, performance.PriceRange]:
    out = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            amount = Decimal(value)
        except InvalidOperation:
            amount = Decimal(-1)
        if not (amount.is_finite() and 0 < amount < 10**9):
            raise InputError(
                Fault("--price", f"{text!r} is not CHIP=PRICE", "Write, say, h20-sxm-96gb=1.10.")
            )
        chip = catalogue.accelerator(name.strip()).id
        out[chip] = performance.PriceRange(amount, amount, amount, "price", "given")
    return out


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [t.strip() for t in text.split(",") if t.strip()]
