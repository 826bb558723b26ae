"""What we carry of others is what we say it is, with its licence."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

from entrepot import report

VENDOR = Path(report.__file__).parent / "assets" / "vendor"
LISTED = tomllib.loads((VENDOR / "VENDOR.toml").read_text(encoding="utf-8"))["file"]


def test_vendored_files_are_what_they_were_when_they_were_read() -> None:
    """The hash beside each vendored file is its hash, and every file is listed."""
    listed = {entry["path"]: entry for entry in LISTED}
    known = {*listed, "VENDOR.toml", *(name for entry in LISTED for name in entry["licence_files"])}
    assert {path.name for path in VENDOR.iterdir()} == known
    for path, entry in listed.items():
        assert hashlib.sha256((VENDOR / path).read_bytes()).hexdigest() == entry["sha256"]
        assert entry["version"].encode() in (VENDOR / path).read_bytes()


def test_a_licence_travels_with_each_vendored_file() -> None:
    """Apache-2.0, section 4: the licence and the notice go along."""
    for entry in LISTED:
        assert entry["licence"] == "Apache-2.0"
        assert "Apache License" in (VENDOR / "LICENSE").read_text(encoding="utf-8")
        assert "Apache ECharts" in (VENDOR / "NOTICE").read_text(encoding="utf-8")


def test_the_library_cannot_end_its_own_element() -> None:
    """Inlined, ``</script`` in a string would end the script there."""
    for entry in LISTED:
        assert b"</script" not in (VENDOR / entry["path"]).read_bytes().lower()
