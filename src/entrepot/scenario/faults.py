"""What is wrong in a scenario folder? One collector for every check, so that a person sees all faults at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from entrepot.errors import Fault, InputError, nearest

__all__ = ["SHOWN", "Faults", "did_you_mean"]

_MANY = 2000
SHOWN = 20  # lines of one file that are shown for one kind of fault; the rest are counted in one more fault


@dataclass(slots=True)
class Faults:
    """The faults found so far."""

    found: list[Fault] = field(default_factory=list)

    def add(self, where: str, what: str, mend: str) -> None:
        """Note one fault."""
        self.found.append(Fault(where, what, mend))

    def lines(
        self,
        file: str,
        lines: Sequence[int],
        column: str,
        describe: Callable[[int], tuple[str, str]],
    ) -> None:
        """Note one fault on each of ``lines``; ``describe(i)`` says what is wrong on ``lines[i]``, and the mend."""
        for i, line in enumerate(lines[:SHOWN]):
            self.add(f"{file}:{line}: {column}", *describe(i))
        if len(lines) > SHOWN:
            more = len(lines) - SHOWN
            self.add(
                f"{file}:{lines[SHOWN]}: {column}",
                f"{more:,} more {'line has' if more == 1 else 'lines have'} the same kind of fault, the last one is line "
                f"{lines[-1]}",
                "Mend the ones above in the same way throughout the file.",
            )

    def stop(self) -> None:
        """Raise all faults found, if any.

        Raises
        ------
        InputError
            With every fault noted.
        """
        if self.found:
            raise InputError(self.found)


def did_you_mean(name: str, known: Sequence[str], *, otherwise: str) -> str:
    """Return the mend for an unknown name: the nearest known names, or ``otherwise``.

    Examples
    --------
    >>> did_you_mean("ador", ["alder", "birch"], otherwise="Define it.")
    'Did you mean alder?'
    """
    if len(known) > _MANY:  # comparing with every one of 10^5 names would take seconds
        known = [k for k in known if k[:1] == name[:1] and abs(len(k) - len(name)) <= 2][:_MANY]
    near = nearest(name, known)
    if not near:
        return otherwise
    return f"Did you mean {' or '.join(near)}?"
