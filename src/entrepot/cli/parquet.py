"""How are rows written as Parquet? In a module of its own, because importing Polars takes a second."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

__all__ = ["write"]


def write(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Write ``rows`` to a Parquet file."""
    pl.DataFrame(list(rows), infer_schema_length=None).write_parquet(path)
