"""What does a chip deliver on a workload under its SLO, and which figure is that answer built on?

An analytic serving model: operation by operation, all layouts and batches at once, as an interval below the physical
limit. ``estimate`` answers for one pair, ``rates`` for a table of pairs, ``size`` in devices, ``explain`` in
milliseconds by kind of operation.
"""

from entrepot.performance.efficiency import Provenance, provenance
from entrepot.performance.estimate import DEFAULT_ENGINE, estimate
from entrepot.performance.explain import explain, rests_on, roofline
from entrepot.performance.latency import PERCENTILES, Latency, Profile, latency
from entrepot.performance.operating import OperatingPoint, operating_point
from entrepot.performance.pareto import frontier
from entrepot.performance.pictures import page, pareto_picture, roofline_picture
from entrepot.performance.rates import rates
from entrepot.performance.records import (
    Binding,
    Estimate,
    Interval,
    Layout,
    Pools,
    RunnerUp,
    Slo,
    Speculation,
    Workload,
)
from entrepot.performance.size import Sizing, size
from entrepot.performance.training import Training, TrainingLayout, TrainingRun, train
from entrepot.performance.training_records import Software
from entrepot.performance.worth import PriceRange, costs, equivalents

__all__ = [
    "DEFAULT_ENGINE",
    "PERCENTILES",
    "Binding",
    "Estimate",
    "Interval",
    "Latency",
    "Layout",
    "OperatingPoint",
    "Pools",
    "PriceRange",
    "Profile",
    "Provenance",
    "RunnerUp",
    "Sizing",
    "Slo",
    "Software",
    "Speculation",
    "Training",
    "TrainingLayout",
    "TrainingRun",
    "Workload",
    "costs",
    "equivalents",
    "estimate",
    "explain",
    "frontier",
    "latency",
    "operating_point",
    "page",
    "pareto_picture",
    "provenance",
    "rates",
    "rests_on",
    "roofline",
    "roofline_picture",
    "size",
    "train",
]
