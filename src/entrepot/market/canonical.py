"""What is the hash of a JSON value? SHA-256 over the one way to write it: keys sorted, no spaces, UTF-8.

Part of checking: nothing here is shared with the code that found the clearing.
"""

from __future__ import annotations

import hashlib
import json

__all__ = ["digest"]


def digest(value: object) -> str:
    """Return the SHA-256 of a JSON value, hex."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
