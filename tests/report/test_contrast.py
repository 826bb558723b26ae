"""The page can be read by tired eyes, in light and in dark: WCAG 2.2, success criterion 1.4.3 (AA)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from entrepot import report

CSS = (Path(report.__file__).parent / "assets" / "report.css").read_text(encoding="utf-8")
TEXT = [(ink, ground) for ink in ("ink", "soft", "accent", "alert") for ground in ("paper", "card", "faint")]
TEXT += [("accent", "accent-faint"), *((x, f"{x}-bg") for x in ("yes", "exc", "lic", "no", "unk"))]
MARKS = [(f"c{i}", "card") for i in range(8)] + [("accent", "card"), ("leased", "card"), ("sold", "card")]


def theme(name: str) -> dict[str, str]:
    """Return the colours of a theme; dark overrides light."""
    light, dark = re.findall(r":root(?::not\(\.light\))? \{(.*?)\}", CSS, re.DOTALL)[:2]
    named = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", light))
    return named | dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", dark)) if name == "dark" else named


def luminance(colour: str) -> float:
    """Return the relative luminance of WCAG 2.2, appendix: definitions."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(a: str, b: str) -> float:
    """Return the contrast ratio of WCAG 2.2."""
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_black_on_white() -> None:
    """The ratio of the definition: 21 to 1."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)


@pytest.mark.parametrize("name", ["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), TEXT)
def test_text_stands_out(name: str, ink: str, ground: str) -> None:
    """Text needs 4.5 to 1."""
    colours = theme(name)
    assert contrast(colours[ink], colours[ground]) >= 4.5


@pytest.mark.parametrize("name", ["light", "dark"])
@pytest.mark.parametrize(("mark", "ground"), MARKS)
def test_lines_and_bars_stand_out(name: str, mark: str, ground: str) -> None:
    """Graphics need 3 to 1 (criterion 1.4.11)."""
    colours = theme(name)
    assert contrast(colours[mark], colours[ground]) >= 3.0
