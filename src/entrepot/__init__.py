"""entrepot: the open system for scarce and controlled AI compute.

>>> import entrepot as ep
>>> s = ep.load("examples/mixed-fleet")
>>> c = ep.clear(s)
>>> c.prices.columns[:4]
['pool', 'label', 'accelerator', 'site']

Names are imported when they are used, so ``import entrepot`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from entrepot.api import (
        Run,
        Story,
        check,
        clear,
        compare,
        load,
        permits,
        rates,
        run,
        screen,
        size,
        story,
        surplus,
        verify,
        write_report,
    )
    from entrepot.catalogue import accelerator, accelerators, model, models

__version__ = "0.1.0"
__all__ = [
    "Run",
    "Story",
    "accelerator",
    "accelerators",
    "check",
    "clear",
    "compare",
    "load",
    "model",
    "models",
    "permits",
    "rates",
    "run",
    "screen",
    "size",
    "story",
    "surplus",
    "verify",
    "write_report",
]
_CATALOGUE = {"accelerator", "accelerators", "model", "models"}


def __getattr__(name: str) -> object:
    """Import a public name on first use (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'entrepot' has no attribute {name!r}")
    return getattr(import_module("entrepot.catalogue" if name in _CATALOGUE else "entrepot.api"), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
