"""Write docs/commands.md from the commands themselves; with ``--check``, say whether it is current.

A command or an option without documentation fails: so the page, and the commands, cannot drift apart.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "commands.md"
HEAD = """# Commands

Every command as it explains itself. This page is written by `python tools/commands_page.py` and checked by `make docs`.
"""


def commands() -> Iterator[tuple[str, ...]]:
    """Yield the words of every command, the root first."""
    from entrepot.cli import app  # noqa: PLC0415 - after the environment is set

    yield ()
    for name in app:
        if name.startswith("-"):
            continue
        yield (name,)
        for sub in app[name]:
            if not sub.startswith("-"):
                yield (name, sub)


def help_text(words: tuple[str, ...]) -> str:
    """Return what ``entrepot WORDS --help`` prints."""
    from entrepot.cli import main as entrepot  # noqa: PLC0415

    sink = io.StringIO()
    with contextlib.redirect_stdout(sink), contextlib.suppress(SystemExit):
        entrepot([*words, "--help"])
    return "\n".join(line.rstrip() for line in sink.getvalue().splitlines()).strip()


def page() -> str:
    """Return the whole page."""
    os.environ.update({"COLUMNS": "110", "NO_COLOR": "1", "TERM": "dumb"})
    parts = [HEAD]
    parts.extend(
        f"## `entrepot{''.join(f' {w}' for w in words)}`\n\n```text\n{help_text(words)}\n```\n"
        for words in commands()
    )
    return "\n".join(parts)


def main() -> int:
    """Write the page, or check it."""
    text = page()
    if "--check" in sys.argv:
        if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
            print("docs/commands.md is not current: run python tools/commands_page.py", file=sys.stderr)
            return 1
        return 0
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
