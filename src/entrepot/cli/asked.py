"""What may be asked of a piece of work, on every command of the performance model; the same options everywhere."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from entrepot import catalogue
from entrepot.catalogue import demand
from entrepot.errors import Fault, InputError
from entrepot.performance.calibration.own_runs import read_offsets
from entrepot.performance.offsets import calibrated
from entrepot.performance.records import Slo, Speculation

__all__ = ["MIX", "Asked", "positive"]

MIX = "servegen-deepseek-r1"


@dataclass(frozen=True)
class Asked:
    """The work and its limits."""

    mix: str = MIX
    """Request sizes: a public mix of the catalogue (entrepot catalogue list mixes)."""
    ttft_ms: float | None = None
    """Limit on the time to first token."""
    tpot_ms: float | None = None
    """Limit on the time per output token."""
    percentile: float = 50.0
    """Share of requests, in percent, that the limits are promised to."""
    arrivals: str = "closed"
    """How requests come: closed (each follows the one before, as in a benchmark), poisson, mix (as bursty as the mix's
    trace), or a squared coefficient of variation, e.g. 4."""
    prefix_hit_share: float = 0.0
    """Share of input tokens found in the prefix cache, 0 to 1."""
    draft_tokens: Annotated[int, Parameter(show_default=False)] = 0
    """Speculative decoding: tokens proposed per step; 0 is none."""
    acceptance: float = 0.85
    """Speculative decoding: chance that a proposed token is kept."""
    draft_model: str | None = None
    """Speculative decoding: the model that proposes; the model's own MTP layer if left out."""

    calibration: Path | None = None
    """What your own runs say of your engine (entrepot performance calibrate)."""

    @property
    def own_runs(self) -> AbstractContextManager[None]:
        """Within it, answers use the user's own runs, if a calibration was named."""
        return calibrated(None if self.calibration is None else read_offsets(self.calibration))

    @property
    def slo(self) -> Slo:
        """The limits, each a positive number."""
        for option, value in (("--ttft-ms", self.ttft_ms), ("--tpot-ms", self.tpot_ms)):
            if value is not None:
                positive(option, value)
        return Slo(self.ttft_ms, self.tpot_ms, self.percentile)

    @property
    def arrival_scv(self) -> float | None:
        """Burstiness of the arrivals; ``None`` for a closed loop."""
        match self.arrivals.lower():
            case "closed":
                return None
            case "poisson":
                return 1.0
            case "mix":
                found = demand.arrival_scv(self.mix)
                if found is None:
                    known = ", ".join(m for m in demand.mixes() if demand.arrival_scv(m) is not None)
                    raise InputError(
                        Fault(
                            "--arrivals",
                            f"no times between requests are on record for {self.mix}",
                            f"They are for: {known}. Or write poisson, or a number.",
                        )
                    )
                return found
        try:
            value = float(self.arrivals)
        except ValueError:
            value = -1.0
        if not 0 <= value < 1e6:
            raise InputError(
                Fault("--arrivals", self.arrivals, "Write closed, poisson, mix, or a number of 0 or more.")
            )
        return value

    @property
    def speculation(self) -> Speculation | None:
        """Speculative decoding, or none."""
        if self.draft_tokens == 0:
            return None
        draft = None if self.draft_model is None else catalogue.model(self.draft_model)
        return Speculation(self.draft_tokens, self.acceptance, draft)


def positive(option: str, value: float) -> None:
    """Refuse what is not a number above zero."""
    if not 0 < value < 1e9:
        raise InputError(
            Fault(option, f"{value:g} is not a number above zero and below 10^9", "Write a positive number.")
        )
