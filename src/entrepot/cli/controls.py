"""``entrepot controls``: the law as this program knows it, as data that a person can read and test."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from entrepot import catalogue, controls
from entrepot.cli.facts import Act, country
from entrepot.cli.output import Output, emit, note
from entrepot.controls import law
from entrepot.controls.records import TransferKind

if TYPE_CHECKING:
    from entrepot.controls.agreement import Compared
    from entrepot.controls.days import Answer

__all__ = ["cases", "classify", "diff", "rules", "timeline"]


def rules(
    search: str | None = None,
    *,
    on: dt.date | None = None,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """List the rules that are known, version by version: effective day, status, paragraph, source.

    All versions of every rule:

        entrepot controls rules

    What held on one day, about one subject:

        entrepot controls rules headquarters --on 2024-06-01

    Parameters
    ----------
    search
        show only rules whose id, title or citation contains this
    on
        show only the versions in force on this day
    """
    show = output or Output()
    rows = []
    for rule in law.rules():
        held = rule.versions if on is None else tuple(filter(None, [law.version_on(rule.versions, on)]))
        for version in held:
            text = f"{rule.id} {rule.title} {version.cite}".lower()
            if search is None or search.lower() in text:
                rows.append(
                    {
                        "rule": rule.id,
                        "title": rule.title,
                        "effective": version.since,
                        "until": version.until,
                        "status": version.status,
                        "outcome": version.outcome,
                        "citation": version.cite,
                        "source": version.source,
                    }
                )
    if show.output == "table" and show.fields is None:
        brief = ("rule", "effective", "until", "status", "outcome", "citation")
        rows = [{k: row[k] for k in brief} for row in rows]
    emit(rows, kind="rules", output=show)
    note(_about())


def timeline(
    search: str | None = None,
    *,
    since: dt.date | None = None,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """Show the known law by date: what began, moved or ended on each day, with its status and source.

        entrepot controls timeline
        entrepot controls timeline --since 2025-01-01

    Parameters
    ----------
    search
        show only what contains this
    since
        show only what happened on this day or later
    """
    show = output or Output()
    rows = [
        row
        for row in import_module("entrepot.controls.timeline").events()
        if (since is None or row["on"] >= since)
        and (search is None or search.lower() in " ".join(map(str, row.values())).lower())
    ]
    if show.output == "table" and show.fields is None:
        rows = [{k: v for k, v in row.items() if k != "source"} for row in rows]
    emit(rows, kind="timeline", output=show)
    note(_about())


def cases(
    file: Path,
    *,
    only: Annotated[list[str] | None, Parameter(negative=())] = None,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> int:
    """Answer every case of a file and set the answers beside what the file expects.

    The file is a CSV table with the columns id, accelerator, destination, recipient_hq, date, outcome,
    paragraph_or_instrument, source, notes; facts stand in square brackets of the notes, such as [tx=reexport],
    [party=Example Cloud], [imported_on=2024-06-01], and figures as TPP=4992 PD=6.04 DRAM=2039GB/s datacentre=yes.

        entrepot controls cases my-cases.csv

    For machines, and the rows that do not agree alone:

        entrepot controls cases my-cases.csv -o json
        entrepot controls cases my-cases.csv --only stricter --only "FALSE CLEAR"

    A false clear is a case of which the file says that a licence is needed or the act is prohibited, and the answer is
    none. A row that cannot be read is reported with its field and the mend; the others are still answered.

    Exit 0: no false clear, every row read; 1: a false clear; 3: rows that cannot be read.

    Parameters
    ----------
    file
        the case file
    only
        show only the cases of this agreement: same, stricter, freer, "licence, other policy", "FALSE CLEAR"
    """
    show = output or Output()
    casefile = import_module("entrepot.controls.casefile")
    agreement = import_module("entrepot.controls.agreement")
    readings, faults = casefile.read(file)
    found = agreement.compare(readings)
    rows = [_case(c) for c in found if not only or c.agreement.value in only]
    false_clears = [_case(c) for c in found if c.agreement is agreement.Agreement.FALSE_CLEAR]
    unread = [{"where": f.where, "what": f.what, "mend": f.mend} for f in faults]
    if show.output == "table" and show.fields is None:
        brief = ("id", "chip", "act", "to", "hq", "on", "expected", "answer", "agreement", "why")
        rows = [{k: row[k] for k in brief} for row in rows]
        false_clears = [{k: row[k] for k in brief} for row in false_clears]
    tables: dict[str, list[dict[str, object]]] = {
        "items": rows,
        "agreement": agreement.by_outcome(found),
        "false_clears": false_clears,
        "unreadable": unread,
        "reading": [{"blank": text} for text in casefile.BLANKS],
        "about": [{"law_known_to": controls.LAW_KNOWN_TO, "note": _about()}],
    }
    titles = {
        "items": f"{len(found)} cases of {file.name}: expected, answered, why",
        "agreement": "Agreement by expected outcome",
        "false_clears": "FALSE CLEARS: the file asks a licence or says prohibited, the answer is none",
        "unreadable": "Rows that cannot be read",
        "reading": "How a blank is read in such a file",
        "about": "",
    }
    emit(tables, kind="cases", output=show, titles=titles)
    for fault in faults:
        note(str(fault))
    note(
        f"{len(found)} cases, {sum(c.agreement is agreement.Agreement.SAME for c in found)} agree, "
        f"{len(false_clears)} false clears, {len(faults)} faults in rows that cannot be read. {_about()}"
    )
    return 3 if faults else 1 if false_clears else 0


def diff(
    *,
    from_: Annotated[dt.date, Parameter(name="--from")],
    to: dt.date,
    chip: Annotated[list[str] | None, Parameter(negative=())] = None,
    destination: Annotated[list[str] | None, Parameter(negative=())] = None,
    hq: str | None = None,
    kind: Act = "export",
    letters: Annotated[bool, Parameter(negative=())] = False,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """Say which chips and destinations have another answer on one day than on another, and which text made it so.

    Every chip of the catalogue to every country, civil and screened parties that sit where they are:

        entrepot controls diff --from 2023-11-16 --to 2023-11-17

    Parties headquartered in China, wherever they stand; and what the makers' own letters changed:

        entrepot controls diff --from 2023-11-16 --to 2023-11-17 --hq CN --destination SG
        entrepot controls diff --from 2025-04-08 --to 2025-04-09 --letters

    Parameters
    ----------
    from_
        the first day
    to
        the second day
    chip
        only this chip (may be given again)
    destination
        only this country (may be given again)
    hq
        headquarters of the recipient, wherever it stands
    kind
        the act, an export from the United States if left out
    letters
        the sender is each chip's maker, bound by the letters that it has received
    """
    show = output or Output()
    days = import_module("entrepot.controls.days")
    known = catalogue.accelerators()
    chips = {c.id: c for c in map(catalogue.accelerator, chip)} if chip else known
    places = [country("--destination", code) for code in destination] if destination else None
    seat = country("--hq", hq) if hq else None
    found = days.changes(
        from_, to, chips, destinations=places, seat=seat, kind=TransferKind(kind), letters=letters
    )
    table = show.output == "table"
    rows = [
        {
            "chips": _few(c.chips) if table else list(c.chips),
            "destinations": _few(c.destinations) if table else list(c.destinations),
            "before": _said(c.before, c.after),
            "after": _said(c.after, c.before),
            "if": "748 Supp. 2(dd) is filed" if c.certified else "",
            "because": "; ".join(c.because) if table else list(c.because),
        }
        for c in found
    ]
    emit(rows, kind="diff", output=show)
    pairs = len({(chip_id, place) for c in found for chip_id in c.chips for place in c.destinations})
    note(f"{pairs} pairs of chip and destination changed from {from_} to {to}. {_about()}")


def classify(
    chip: str,
    *,
    on: dt.date | None = None,
    eccn: str | None = None,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """Say where a chip stands under ECCN 3A090, with the band of each quantity, and why.

        entrepot controls classify h20-sxm-96gb
        entrepot controls classify rtx-4090 --on 2024-06-01 --eccn 5A992

    Parameters
    ----------
    chip
        the accelerator, by id or name
    on
        the day of the text; the newest text if left out
    eccn
        the ECCN that its maker gives it, e.g. 5A992 for encryption; says whether the item is in its .z paragraph
    """
    show = output or Output()
    found = controls.classify(catalogue.accelerator(chip), on)
    row: dict[str, object] = {
        "accelerator": found.accelerator,
        "on": found.on,
        "class": found.item_class,
        "system": controls.system_class(found.item_class),
        "z_paragraph": controls.z_class(eccn, found.item_class) if eccn else None,
        "possible": found.possible,
        "tpp": found.tpp,
        "tpp_band": f"{found.tpp_low:.5g} to {'unbounded' if found.tpp_high is None else format(found.tpp_high, '.5g')}",
        "density": None if found.performance_density is None else round(found.performance_density, 4),
        "density_band": "not defined"
        if found.density_defined is False
        else f"{found.density_low:.4g} to {'unbounded' if found.density_high is None else format(found.density_high, '.4g')}",
        "datacenter": found.datacenter,
        "missing": found.missing,
        "reasons": found.reasons,
        "law_known_to": found.law_known_to,
    }
    if show.output == "table":
        emit(
            [{"what": k.replace("_", " "), "value": v} for k, v in row.items()],
            kind="classification",
            output=show,
        )
    else:
        emit([row], kind="classification", output=show)
    note(_about())


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _said(one: Answer, other: Answer) -> str:
    policy = f", {one.policy}" if one.policy else ""
    item = f" ({one.item_class})" if one.item_class != other.item_class else ""
    codified = f"; by the text: {one.codified}" if one.codified not in {None, one.outcome} else ""
    return f"{one.outcome}{policy}{item}{codified}"


def _case(c: Compared) -> dict[str, object]:
    decision, act = c.decision, c.decision.transfer
    deciding = [r for r in decision.reasons if r.outcome is decision.outcome or r.rule == "us.projected"]
    return {
        "id": c.reading.id,
        "line": c.reading.line,
        "chip": act.accelerator,
        "act": act.kind,
        "from": act.origin,
        "to": act.destination,
        "hq": act.recipient.headquarters,
        "on": act.on,
        "expected": c.reading.expected.word,
        "answer": c.answer,
        "agreement": c.agreement,
        "outcome": decision.outcome,
        "review_policy": decision.review_policy,
        "item_class": decision.item_class,
        "citations": decision.citations,
        "why": "; ".join(dict.fromkeys(f"{r.text} [{r.citation}]" for r in deciding)),
        "missing": decision.missing,
        "codified": decision.codified_outcome,
        "gates": [
            f"{g.government}: {g.answer} ({g.confidence}, since {g.effective})" for g in decision.gates
        ],
        "read_as": c.reading.said,
        "law_known_to": decision.law_known_to,
    }


def _about() -> str:
    return controls.about(dt.datetime.now(dt.UTC).date())
