"""Which product does a person mean by a name?

A name is taken apart into words; a product answers to it when each of the words is one of its own, or the beginning
of one. Whole words beat beginnings, a listed alias beats both, and a number is never cut short: ``h20`` does not begin
``h200``. A name that several products answer to is an error that lists them: the 96 GB and the 141 GB part of one chip
are two products, and law and price know the difference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from entrepot.errors import Fault, InputError, NotFound

__all__ = ["find", "words"]


def words(name: str) -> tuple[str, ...]:
    """Return the words of a name, lower case.

    Examples
    --------
    >>> words("H20 SXM, 96GB")
    ('h20', 'sxm', '96gb')
    >>> words("Qwen2.5-72B")
    ('qwen2', '5', '72b')
    """
    return tuple(re.findall(r"[a-z0-9]+", name.lower()))


def find(name: str, kind: str, known: Mapping[str, Sequence[str]]) -> str:
    """Return the id that ``name`` stands for.

    Parameters
    ----------
    name : what a person wrote
    kind : what it should be, for the message: ``accelerator``
    known : id to its other names, the full name first

    Raises
    ------
    NotFound
        nothing goes by that name; carries the nearest names
    InputError
        several things go by that name; lists them
    """
    if name in known:
        return name
    wanted = words(name)
    exact = [id_ for id_, names in known.items() if any(words(n) == wanted for n in (id_, *names))]
    if len(exact) == 1:
        return exact[0]
    best = _best(wanted, known) if wanted else []
    if len(best) == 1:
        return best[0]
    if best:
        best = _answering(wanted, known)
        shown = ", ".join(best[:8]) + (f" and {len(best) - 8} more" if len(best) > 8 else "")
        raise InputError(
            Fault(
                where=kind,
                what=f"{name!r} may mean {len(best)} of them: {shown}.",
                mend="Write the whole id of the one that you mean.",
            )
        )
    raise NotFound(kind, name, list(known))


def _best(wanted: Sequence[str], known: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the ids that answer to the wanted words with the most whole words."""
    whole = {id_: sum(w in _own(id_, known) for w in wanted) for id_ in _answering(wanted, known)}
    most = max(whole.values(), default=0)
    return [id_ for id_, count in whole.items() if count == most]


def _answering(wanted: Sequence[str], known: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the ids of which each wanted word is a word or the beginning of one."""
    return [id_ for id_ in known if all(any(_begins(own, w) for own in _own(id_, known)) for w in wanted)]


def _begins(word: str, start: str) -> bool:
    """Return whether a word begins so, without cutting a number short: ``sxm5`` with ``sxm``, not ``h200`` with ``h20``."""
    rest = word[len(start) :]
    return word.startswith(start) and not (start[-1].isdigit() and rest[:1].isdigit())


def _own(id_: str, known: Mapping[str, Sequence[str]]) -> frozenset[str]:
    return frozenset(word for name in (id_, *known[id_]) for word in words(name))
