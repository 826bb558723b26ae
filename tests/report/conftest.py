"""Two stories, real from end to end: a small one, and the one with three dates and two readings."""

from __future__ import annotations

from pathlib import Path

import pytest

from entrepot import api, report
from entrepot.report.records import Run, Story

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="session")
def fleet() -> Story:
    """Return the story of the mixed fleet."""
    return api.story(EXAMPLES / "mixed-fleet")


@pytest.fixture(scope="session")
def spring() -> Story:
    """Return the story of spring 2025."""
    return api.story(EXAMPLES / "spring-2025")


@pytest.fixture(scope="session")
def page(spring: Story) -> str:
    """Return its page."""
    return report.render(spring)


@pytest.fixture(scope="session")
def runs(spring: Story, fleet: Story) -> tuple[Run, ...]:
    """Return every run of both stories."""
    return (*spring.dates, *spring.variants, *fleet.dates)
