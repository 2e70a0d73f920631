"""Where things are."""

import os
from pathlib import Path

ROOT = Path(os.environ["HANDBACK_ROOT"])
SOURCES = ROOT / "tests" / "live"
EXAMPLES = ROOT / "examples"
LIVE = ROOT / "target" / "live"
LOGS = LIVE / "logs"
DATA = LIVE / "data"
GROUPS = LIVE / "process-groups"
