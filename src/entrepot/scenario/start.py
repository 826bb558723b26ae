"""How does a newcomer start? With a small scenario folder that reads and clears, commented line by line."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from entrepot.errors import Conflict

__all__ = ["FILES", "init"]

FILES = ("scenario.toml", "holdings.csv", "lots.csv", "bids.csv")


def init(path: Path) -> tuple[Path, ...]:
    """Write a small commented scenario into the folder ``path``, which is made if need be.

    Returns
    -------
    The files written.

    Raises
    ------
    Conflict
        One of the files is there already; nothing is written then.
    """
    targets = [path / name for name in FILES]
    there = [
        target for target in (path, *targets) if target.exists() and not (target == path and path.is_dir())
    ]
    if there:
        names = ", ".join(str(target) for target in there)
        raise Conflict(f"{names}: already there, and nothing was overwritten.\n  Name another folder.")
    path.mkdir(parents=True, exist_ok=True)
    source = resources.files("entrepot.scenario") / "template"
    for target in targets:
        target.write_bytes((source / target.name).read_bytes())
    return tuple(targets)
