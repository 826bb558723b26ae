"""Several legs of one shipment: is every leg lawful, with every party of every leg in view?

Each leg is judged by itself, and on each leg the parties of all the others are screened too: who receives on another leg
is an end user of this one as far as it is known, who sends there is a party to the shipment. The order in which the legs
are written does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from entrepot.catalogue.records import Accelerator
from entrepot.controls.decide import STRICTNESS, decide
from entrepot.controls.records import Decision, Involved, Outcome, Role, Transfer
from entrepot.errors import Fault, InputError

__all__ = ["Route", "decide_route"]


@dataclass(frozen=True, slots=True)
class Route:
    """The decisions of all legs, strictest first; ``outcome`` is the strictest."""

    legs: tuple[Decision, ...]

    @property
    def outcome(self) -> Outcome:
        """The strictest outcome of a leg: the shipment is no freer than its worst leg."""
        return self.legs[0].outcome

    @property
    def allowed(self) -> bool:
        """Whether every leg may go ahead without asking anybody."""
        return all(leg.allowed for leg in self.legs)


def decide_route(legs: Sequence[Transfer], *, accelerators: Mapping[str, Accelerator] | None = None) -> Route:
    """Judge every leg with the parties of all legs.

    Raises
    ------
    InputError
        No leg at all, or a leg that cannot be read.
    """
    if not legs:
        raise InputError(Fault("legs", "there is none", "Give at least one leg."))
    found = [decide(_in_view(leg, legs), accelerators=accelerators) for leg in legs]
    ranked = sorted(found, key=lambda d: (STRICTNESS.index(d.outcome), repr(d.transfer)))
    return Route(tuple(ranked))


def _in_view(leg: Transfer, legs: Sequence[Transfer]) -> Transfer:
    """Return a leg with the parties of the other legs in it, each once and in an order of their own."""
    own = {leg.sender, leg.recipient, *(other.party for other in leg.others)}
    more: dict[str, Involved] = {}
    for other in legs:
        if other is leg:
            continue
        seen = [
            Involved(Role.FORWARDER, other.sender),
            Involved(Role.END_USER, other.recipient),
            *other.others,
        ]
        more |= {repr(involved): involved for involved in seen if involved.party not in own}
    return replace(leg, others=(*leg.others, *(more[key] for key in sorted(more))))
