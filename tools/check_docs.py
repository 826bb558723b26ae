"""Are the documents true? Links lead somewhere, the commands page is current, no page speaks of a registry host.

Checked: every relative link and anchor in the Markdown files of the repository; that each package has its page; that
``docs/commands.md`` is what the commands say of themselves.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6}\s+(.*)$", re.MULTILINE)
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    """Return the Markdown files that belong to the project."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])


def anchors(text: str) -> set[str]:
    """Return the anchors that the headings of a page get."""
    slugs = (re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in HEADING.findall(text))
    return set(slugs)


def broken_links(path: Path) -> list[str]:
    """Return what is wrong with the links of one page."""
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    faults = []
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        other = path if not file else (path.parent / file).resolve()
        if not other.exists():
            faults.append(f"{path.relative_to(ROOT)}: {target} leads nowhere")
        elif anchor and other.suffix == ".md" and anchor not in anchors(other.read_text(encoding="utf-8")):
            faults.append(f"{path.relative_to(ROOT)}: {target}: no such heading")
    return faults


def missing_pages() -> list[str]:
    """Return the packages that have no page."""
    packages = [p.parent.name for p in (ROOT / "src" / "entrepot").glob("*/__init__.py")]
    return [
        f"docs/{p}.md is missing" for p in packages if p != "cli" and not (ROOT / "docs" / f"{p}.md").exists()
    ]


def main() -> int:
    """Check everything; print what is wrong."""
    faults = [fault for path in pages() for fault in broken_links(path)] + missing_pages()
    current = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "commands_page.py"), "--check"],
        check=False,
        capture_output=True,
        text=True,
    )
    if current.returncode:
        faults.append(current.stderr.strip())
    for fault in faults:
        print(fault, file=sys.stderr)
    if not faults:
        print(f"{len(pages())} pages: links lead somewhere, the commands page is current.")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
