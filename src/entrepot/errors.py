"""What can go wrong for a person using entrepot, and what each case is worth to a shell and to a browser.

::

    EntrepotError                70  500   something of ours broke
    ├── InputError                3  422   what was written cannot be read; carries every fault found
    ├── NotFound                  4  404   no such chip, model, lot; carries the nearest names
    ├── MissingFact               6  409   the answer needs a figure that no source states
    ├── Refused                   1  403   an act against a decision, which it carries
    ├── Conflict                  5  409   what it rests on has changed, or was done already
    └── Unproven                  8  503   no certificate, or one that does not hold

Exit 0 is a yes and exit 1 a no (as ``grep`` does); exit 2 is a command line that cannot be parsed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

__all__ = [
    "Conflict",
    "EntrepotError",
    "Fault",
    "InputError",
    "MissingFact",
    "NotFound",
    "Refused",
    "Unproven",
    "nearest",
]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in what a person wrote.

    Parameters
    ----------
    where : file, row and field as a person would point at them: ``holdings.csv:14: quantity``
    what : what is wrong, with the value that was read
    mend : what to write instead
    """

    where: str
    what: str
    mend: str

    def __str__(self) -> str:
        """Return the fault as two lines: what is wrong and where, then the mend."""
        return f"{self.where}: {self.what}\n  {self.mend}"


class EntrepotError(Exception):
    """The root: every error that entrepot raises on purpose."""

    exit_code: ClassVar[int] = 70
    http_status: ClassVar[int] = 500


class InputError(EntrepotError):
    """What was written cannot be used. Carries all faults found, not the first."""

    exit_code: ClassVar[int] = 3
    http_status: ClassVar[int] = 422

    def __init__(self, faults: Fault | Iterable[Fault]) -> None:
        self.faults: tuple[Fault, ...] = (faults,) if isinstance(faults, Fault) else tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class NotFound(EntrepotError):
    """Nothing goes by that name."""

    exit_code: ClassVar[int] = 4
    http_status: ClassVar[int] = 404

    def __init__(self, kind: str, name: str, known: Sequence[str] = ()) -> None:
        self.kind = kind
        self.name = name
        self.near: tuple[str, ...] = nearest(name, known)
        hint = f"\n  Did you mean {', '.join(self.near)}?" if self.near else ""
        super().__init__(f"no {kind} is called {name!r}.{hint}")


class MissingFact(EntrepotError):
    """The answer needs a figure that no source read so far states."""

    exit_code: ClassVar[int] = 6
    http_status: ClassVar[int] = 409


class Refused(EntrepotError):
    """An act against a decision; ``decision`` says why."""

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 403

    def __init__(self, message: str, decision: object = None) -> None:
        self.decision = decision
        super().__init__(message)


class Conflict(EntrepotError):
    """What the act rests on has changed, or the act was done already."""

    exit_code: ClassVar[int] = 5
    http_status: ClassVar[int] = 409


class Unproven(EntrepotError):
    """There is no certificate in time, or the certificate does not hold."""

    exit_code: ClassVar[int] = 8
    http_status: ClassVar[int] = 503


def nearest(name: str, known: Sequence[str], *, most: int = 3) -> tuple[str, ...]:
    """Return the known names closest to ``name``, best first.

    Examples
    --------
    >>> nearest("nvidia-h20", ["nvidia-h20-sxm-96gb", "amd-mi300x-192gb"])
    ('nvidia-h20-sxm-96gb',)
    """
    inside = [k for k in known if name.lower() in k.lower()]
    close = difflib.get_close_matches(name, known, n=most, cutoff=0.6)
    return tuple(dict.fromkeys([*inside, *close]))[:most]
