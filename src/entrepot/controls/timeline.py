"""What of the known law began, moved or ended on which day?"""

from __future__ import annotations

import datetime as dt

from entrepot.controls import groups, law

__all__ = ["events"]


def events() -> list[dict[str, object]]:
    """Return every dated event of the rule files, in order: the day, what it concerns, its status and citation."""
    out: list[dict[str, object]] = []

    def add(on: dt.date | None, what: str, event: str, status: str, cite: str, source: str) -> None:
        if on is not None and on not in {dt.date.min, dt.date.max}:
            out.append(
                {"on": on, "what": what, "event": event, "status": status, "citation": cite, "source": source}
            )

    for text in law.item_texts():
        add(text.effective, "3A090", "thresholds", "codified", text.cite, text.source)
    for hbm in law.hbm_texts():
        add(hbm.effective, hbm.item, "threshold", "codified", hbm.cite, hbm.cite)
    for rule in law.rules():
        for v in rule.versions:
            add(v.effective, rule.id, rule.title, v.status, v.cite, v.source)
            add(v.compliance, rule.id, f"{rule.title}: to be met", v.status, v.cite, v.source)
            add(v.until, rule.id, f"{rule.title}: ends", "lapsed", v.cite, v.source)
    for e in law.exceptions():
        add(e.effective, e.id, f"licence exception {e.name}", "codified", e.cite, e.source)
        add(e.until, e.id, f"licence exception {e.name}: ends", "lapsed", e.cite, e.source)
    for r in law.reviews():
        add(r.effective, ", ".join(r.rules), f"review: {r.policy.value}", "codified", r.cite, r.text)
    for letter in law.letter_rules().values():
        held = letter.letter
        add(held.effective, held.id, f"letter to {held.addressee}", "letter", held.citation, held.source)
        add(letter.superseded, held.id, "overtaken by a rule", "letter", letter.superseded_by, held.source)
        add(letter.practice_from, held.id, "licences issued", "practice", held.citation, letter.practice)
    for on, what, cite in groups.all_moves():
        add(on, what, "country group", "codified", cite, cite)
    for gate in law.gates():
        g = gate.gate
        add(g.effective, g.id, f"{g.government}: {g.answer.value}", g.confidence, g.citation, g.source)
        add(g.until, g.id, f"{g.government}: ends", g.confidence, g.citation, g.source)
    return sorted(out, key=lambda row: (str(row["on"]), str(row["what"])))
