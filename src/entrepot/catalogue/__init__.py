"""Which chips, AI models, prices and claims are known, and who says so?

The figures are rows of text files in ``data/``, read on first use and kept. Nothing here imports a table library, so
that a question about one chip stays fast::

    >>> from entrepot import catalogue
    >>> catalogue.accelerator("H20 SXM 96GB").memory_gb
    Decimal('96')
    >>> catalogue.model("deepseek-r1").n_experts
    256
"""

from __future__ import annotations

from entrepot.catalogue._files import accelerator, accelerators, claims, prices, source, sources
from entrepot.catalogue._models import model, models, user_models_path

__all__ = [
    "accelerator",
    "accelerators",
    "claims",
    "model",
    "models",
    "prices",
    "source",
    "sources",
    "user_models_path",
]
