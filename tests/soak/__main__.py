"""`python -m tests.soak`: everything, for as long as it takes; the report goes to docs/."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]
importlib.import_module("tests.soak.program").main(sys.argv[1:])
