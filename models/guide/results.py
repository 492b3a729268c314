"""How trainings of guides ended, as their folders say it. Imports no torch."""

from __future__ import annotations

import json
from pathlib import Path

from models.guide import GuideTrainingResult

RESULT = "result.json"


def stored_result(folder: Path) -> GuideTrainingResult | None:
    """How the training of the guide in a folder ended; None where there is no such folder."""
    if not folder.is_dir():
        return None
    return GuideTrainingResult(folder, **json.loads((folder / RESULT).read_text("utf-8")))
