"""What goes into the file of a transaction? One page: the act, the facts and who stated them, the answer and its grounds.

The same content as a web page that needs nothing else, or as PDF. A hash of the content stands on it: whoever repeats the
check with the same facts, names and day gets the same hash, and a page that was changed does not.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module, resources
from pathlib import Path
from typing import Any

from entrepot.controls.explain import about, fact_in_words, gate_in_words, in_brief
from entrepot.controls.identity import content_hash, decision_id
from entrepot.controls.records import Decision, PartyFacts
from entrepot.errors import Conflict, Fault, InputError

__all__ = ["Particulars", "content", "write_record"]

_NOT_STATED = "not stated"


@dataclass(frozen=True, slots=True)
class Particulars:
    """What a record holds beside the decision.

    Attributes
    ----------
    made_on : the day of the record
    names : names of the parties by their role, ``sender``, ``recipient`` and so on
    stated_by : who states the facts
    assumed : facts that nobody stated, with what they were taken from
    reference : the file's own number
    tool : name and version of the program
    """

    made_on: dt.date
    tool: str
    names: Mapping[str, str] = field(default_factory=dict)
    stated_by: str | None = None
    assumed: Mapping[str, str] = field(default_factory=dict)
    reference: str | None = None


def content(decision: Decision, particulars: Particulars) -> dict[str, Any]:
    """Return everything that stands on the page, as text in the order of the page, with its hash."""
    answer, act = in_brief(decision)
    deciding = [r for r in decision.reasons if r.outcome is decision.outcome]
    others = [r for r in decision.reasons if r.outcome is not decision.outcome]
    page: dict[str, Any] = {
        "reference": particulars.reference or "",
        "made_on": particulars.made_on.isoformat(),
        "act": act,
        "parties": _parties(decision, particulars),
        "outcome": decision.outcome.value,
        "answer": answer,
        "paragraphs": list(decision.citations),
        "reasons": [{"text": r.text, "cite": f"{r.citation}; {r.status}"} for r in deciding],
        "others": [{"text": r.text, "cite": f"{r.citation}; {r.status}"} for r in others],
        "facts": [
            {"name": name, "value": value, "by": _by(name, particulars)}
            for name, value in decision.inputs.items()
        ],
        "stated_by": particulars.stated_by or _NOT_STATED,
        "missing": [fact_in_words(fact) for fact in decision.missing],
        "would_change": list(decision.would_change),
        "conditions": list(decision.conditions),
        "gates": [gate_in_words(gate) for gate in decision.gates],
        "decision_id": decision_id(decision),
        "tool": particulars.tool,
        "about": about(particulars.made_on),
    }
    return page | {"hash": content_hash(page)}


def _parties(decision: Decision, particulars: Particulars) -> list[dict[str, str]]:
    act = decision.transfer
    held: list[tuple[str, PartyFacts]] = [("sender", act.sender), ("recipient", act.recipient)]
    held += [(other.role.value, other.party) for other in act.others]
    return [
        {
            "role": role,
            "name": particulars.names.get(role) or (party.id if party.id != role else _NOT_STATED),
            "seat": party.headquarters or _NOT_STATED,
            "parent": party.ultimate_parent_headquarters or _NOT_STATED,
            "listings": _NOT_STATED
            if party.listings is None
            else "; ".join(party.listings) or "screened, none",
        }
        for role, party in held
    ]


def _by(name: str, particulars: Particulars) -> str:
    if name in particulars.assumed:
        return f"nobody: {particulars.assumed[name]}"
    if name == "accelerator" or not name.startswith(("accelerator", "item_class")):
        return particulars.stated_by or "whoever asked"
    return "the catalogue and the rule files"


def write_record(decision: Decision, path: Path, particulars: Particulars) -> str:
    """Write the record as HTML or PDF, by the name of the file, whole or not at all; return its hash.

    Raises
    ------
    InputError : another kind of file; PDF without the extra that makes it
    Conflict : the file is there already: a record is not overwritten
    """
    if path.suffix.lower() not in {".html", ".htm", ".pdf"}:
        mend = "Name a file that ends in .html or .pdf."
        raise InputError(Fault("--record", f"{path} is neither a web page nor a PDF", mend))
    if path.exists():
        raise Conflict(f"{path} is there already.\n  Name another file: a record is not overwritten.")
    page = content(decision, particulars)
    made = _pdf(page, particulars.made_on) if path.suffix.lower() == ".pdf" else _html(page).encode()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(made)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return str(page["hash"])


def _html(page: Mapping[str, Any]) -> str:
    jinja2 = import_module("jinja2")  # a check without a record does not wait for it
    env = jinja2.Environment(
        loader=jinja2.PackageLoader("entrepot.controls"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text: str = env.get_template("record.html").render(r=page)
    return text


def _pdf(page: Mapping[str, Any], made_on: dt.date) -> bytes:
    """Typeset the page. The text travels as JSON and is never read as markup; the same page is the same bytes."""
    try:
        typst = import_module("typst")
    except ModuleNotFoundError:
        mend = 'Install it with: pip install "entrepot[pdf]". Or name a file that ends in .html.'
        raise InputError(
            Fault("--record", "a PDF needs the extra 'pdf', which is not installed", mend)
        ) from None
    text = json.dumps(page, ensure_ascii=False)
    # the fonts inside typst know Latin, Greek and Cyrillic, and are the same everywhere
    plain = all(ord(c) < 0x0530 or 0x2000 <= ord(c) < 0x2300 for c in text)
    template = resources.files("entrepot.controls").joinpath("templates", "record.typ")
    with resources.as_file(template) as file:
        made: bytes = typst.compile(
            str(file),
            root=str(file.parent),
            format="pdf",
            sys_inputs={"record": text},
            ignore_system_fonts=plain,
            timestamp=dt.datetime.combine(made_on, dt.time(), dt.UTC),
        )
    return made
