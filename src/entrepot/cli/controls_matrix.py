"""``entrepot controls matrix``: which chip may go where, on one day, as a picture?"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from cyclopts import Parameter

from entrepot import catalogue
from entrepot.cli.facts import country as code
from entrepot.cli.output import Output, Row, emit, note
from entrepot.controls import picture
from entrepot.controls.explain import about
from entrepot.controls.matrix import ASSUMED, Matrix, matrix
from entrepot.controls.records import TransferKind
from entrepot.errors import Fault, InputError

__all__ = ["draw"]


def draw(
    *,
    on: dt.date,
    chips: str | None = None,
    to: str | None = None,
    kind: Literal["export", "re-export", "transfer-in-country", "compute-lease"] = "export",
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    hq: str | None = None,
    made_on: dt.date | None = None,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """Draw chips against destinations on a day: a web page that prints on one sheet, an SVG, or a table.

        entrepot controls matrix --on 2026-02-01 --out matrix.html

    Some chips, some countries, each drawn by itself; parties headquartered elsewhere; leases instead of exports:

        entrepot controls matrix --on 2026-02-01 --chips h20-sxm-96gb,h200,mi308x --to CN,HK,SG,AE --out matrix.svg
        entrepot controls matrix --on 2026-02-01 --to SG,MY,DE --hq CN
        entrepot controls matrix --on 2026-02-01 --kind compute-lease -o csv

    Without --to all countries are asked, and those that answer alike share a column; without --chips chips that answer alike
    share a row. The act is one between parties without a blemish: the picture says what it assumes. Not legal advice.

    Parameters
    ----------
    on
        the day on which the law is read
    chips
        ids or names of chips, comma-separated; all chips if left out
    to
        countries, comma-separated; all countries if left out
    kind
        export, re-export, transfer-in-country or compute-lease
    from_
        the country that a re-export comes from
    hq
        headquarters of the recipient, wherever the chip goes; the country of destination if left out
    made_on
        the day of the picture, from which the age of the law is counted; today if left out
    """
    show = output or Output()
    act = TransferKind(kind)
    if (from_ is not None) != (act is TransferKind.REEXPORT):
        mend = "Give --from with --kind re-export, and only there."
        raise InputError(Fault("--from", "the country that a re-export comes from", mend))
    named = (
        [catalogue.accelerator(c) for c in _parts(chips)]
        if chips
        else list(catalogue.accelerators().values())
    )
    places = [code("--to", c) for c in _parts(to)] if to else None
    m = matrix(
        named,
        places,
        on,
        kind=act,
        origin=code("--from", from_) if from_ else None,
        headquarters=code("--hq", hq) if hq else None,
        merge_chips=chips is None,
    )
    today = made_on or dt.datetime.now(dt.UTC).date()
    drawn = {".html": picture.html, ".htm": picture.html, ".svg": picture.svg}
    if show.out is not None and show.output == "table" and show.out.suffix.lower() in drawn:
        show.out.write_text(drawn[show.out.suffix.lower()](m, made_on=today), encoding="utf-8")
        note(f"wrote {show.out}")
        return
    emit(list(m.long()) if show.output != "table" else _table(m), kind="matrix", output=show)
    note(ASSUMED)
    note(about(today))


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _table(m: Matrix) -> list[Row]:
    rows: list[Row] = []
    for axis, numbers in zip(m.rows, m.cells, strict=True):
        row: dict[str, object] = {"class": axis.item_class, "chips": picture.short(axis, 2)}
        for column, n in zip(m.columns, numbers, strict=True):
            a = m.answers[n - 1] if n else None
            row[picture.short(column, 2)] = (
                f"{picture.SIGN[a.outcome]} {picture.WORD[a.outcome]}" if a else None
            )
        rows.append(row)
    return rows
