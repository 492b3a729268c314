"""The studies by their names."""

from __future__ import annotations

from tasks.config.studies import StudyName
from tasks.studies.losses import LOSSES
from tasks.studies.study import Study

STUDIES: dict[StudyName, Study] = {
    "losses": LOSSES,
}
