"""A sound scenario folder to break: one holder, one vendor, one tenant; every table is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

Edit: TypeAlias = Callable[[str, str, str], None]

TOML = """\
[scenario]
name = "harbour"
title = "A harbour with one crane"
as_of = 2025-04-16
currency = "CNY"
seed = "harbour/1"
default_variant = "large"
[scenario.dates]
"2025-04-01" = "before"

[horizon]
start = 2025-07-01
end = 2026-07-01
step = "quarter"

[variants.large]
title = "many"
[variants.small]
title = "few"
holdings = { "h-1" = 80 }

[residual]
nvidia-h20-sxm-96gb = "60000"
nvidia-l40s-48gb = 12500.5

[[parties]]
id = "alder"
name = "Alder"
headquarters = "CN"
reserve_share = 0.1

[[parties]]
id = "birch"
name = "Birch"
listings = []

[[parties]]
id = "holly"
name = "Holly"
headquarters = "US"

[[sites]]
id = "north"
name = "North"
country = "CN"
operator = "alder"

[[services]]
id = "chat"
party = "birch"
model = "llama-3.1-8b"
requests_per_s = 100
mix = [[1000, 200, 0.75], [200, 100, 0.25]]

[[services]]
id = "assistant"
party = "alder"
model = "llama-3.3-70b"
requests_per_s = 10
mix = "azure-llm-2023-conv"
hourly = "servegen-m-large"
headroom = 1.3

[[assumptions]]
field = "services.chat.requests_per_s"
text = "a round figure"
"""

HOLDINGS = """\
id,party,accelerator,site,quantity,imported_on,imported_from,authorisation,conditions,note
h-1,alder,nvidia-h20-sxm-96gb,north,800,2024-12-31,US,no licence required,stay in CN; report,
h-2,alder,nvidia-l40s-48gb,north,64,,,,,
"""

LOTS = """\
id,seller,holding,kind,quantity,block,ask,start,end,hours,whole,note
lease-1,alder,h-1,lease,surplus,8,7.50,2025-07-01,2026-07-01,22-8,false,
lease-2,,h-1,lease,64,,7.25,2025-10-01,2026-01-01,,true,"nodes, one winter"
sale-2,alder,h-2,sale,16,8,30000,2026-01-01,,,,
"""

BIDS = """\
id,buyer,service,share,limit_per_mtok,site,accelerators,countries,kinds,start,end,note
b-1,birch,chat,0.6,40,north,nvidia-h20-sxm-96gb;nvidia-l40s-48gb,CN;SG,lease;sale,,,
b-2,birch,chat,0.4,12.5,north,,,,2025-10-01,2026-04-01,
b-3,alder,assistant,unserved,60,north,,,,,,
"""

ORDERS = """\
id,vendor,accelerator,origin,quantity,block,price,ordered_on,deliverable_from,note
o-1,holly,nvidia-h20-sxm-96gb,US,400,8,86400,2025-03-15,2025-08-15,
"""

FILES = {
    "scenario.toml": TOML,
    "holdings.csv": HOLDINGS,
    "lots.csv": LOTS,
    "bids.csv": BIDS,
    "orders.csv": ORDERS,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a sound scenario."""
    home = tmp_path / "harbour"
    home.mkdir()
    for name, text in FILES.items():
        (home / name).write_text(text, encoding="utf-8")
    return home


@pytest.fixture
def edit(folder: Path) -> Edit:
    """Return a function that replaces one piece of text in one file of the folder, which must be there."""

    def replace(file: str, old: str, new: str) -> None:
        text = (folder / file).read_text(encoding="utf-8")
        assert old in text, f"{file} has no {old!r}"
        (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8")

    return replace
