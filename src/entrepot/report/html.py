"""How do sections become one file that asks nothing of the network? Templates, our own style, and a script, all inlined.

The page carries a content security policy that allows its own style and its own two scripts, by their hashes, and
nothing else: no request leaves the reader's machine, and text from a scenario cannot run.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import tempfile
from decimal import Decimal
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from entrepot.report import format as shown
from entrepot.report.compare import outcome_words
from entrepot.report.page import page
from entrepot.report.records import Story

__all__ = ["render", "write_report"]

_URL = re.compile(r"https?://[^\s<>\"'|;,]+[^\s<>\"'|;,.)\]]")


def render(story: Story) -> str:
    """Return the story as one HTML page.

    Every text from outside is escaped; the charts' figures travel as JSON in which no ``<``, ``>`` or ``&`` is left.
    """
    style, script, library = _asset("report.css"), _asset("report.js"), _asset("vendor/echarts.common.min.js")
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash(library)} {_hash(script)}",
            f"style-src {_hash(style)}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    template = _environment().get_template("report.html")
    return template.render(
        **page(story),
        policy=Markup(policy),  # noqa: S704  # made above
        style=Markup(style),  # noqa: S704  # our own file, from the package
        script=Markup(script),  # noqa: S704  # our own file, from the package
        library=Markup(library),  # noqa: S704  # our own file, from the package
    )


def write_report(story: Story, path: Path) -> Path:
    """Write the page to ``path``, whole or not at all, and return the path.

    Raises
    ------
    OSError : the folder does not exist or cannot be written
    """
    html = render(story)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(html)
        part.chmod(0o644)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return path


def _asset(name: str) -> str:
    return resources.files("entrepot.report").joinpath("assets", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _environment() -> Environment:
    env = Environment(
        loader=PackageLoader("entrepot.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(
        money=shown.money,
        price=shown.price,
        number=shown.number,
        count=shown.count,
        percent=shown.percent,
        gap=shown.gap,
        work=shown.work,
        day=shown.day,
        outcome=outcome_words,
        links=_links,
        plain=_plain,
        words=lambda name: str(name).replace("_", " ").replace("-", " "),
    )
    return env


def _plain(value: Decimal | str | float | None) -> str:
    """Return a catalogue value as text: decimals without an exponent, unknown in words."""
    if value is None:
        return "unknown"
    return f"{value:,f}" if isinstance(value, Decimal) else str(value)


def _links(text: str) -> Markup:
    """Return ``text`` escaped, with its web addresses as links that tell nobody where the reader came from."""
    parts: list[Markup] = []
    end = 0
    for found in _URL.finditer(text):
        address = found.group()
        parts.append(escape(text[end : found.start()]))
        shown_as = re.sub(r"^https?://(www\.)?", "", address)
        label = shown_as if len(shown_as) <= 60 else f"{shown_as[:57]}…"
        parts.append(
            Markup('<a href="{}" rel="noopener noreferrer" title="{}">{}</a>').format(address, address, label)
        )
        end = found.end()
    parts.append(escape(text[end:]))
    return Markup("").join(parts)
