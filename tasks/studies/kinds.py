"""The studies by their names."""

from __future__ import annotations

from tasks.config.studies import StudyName
from tasks.studies.label_efficiency import LABEL_EFFICIENCY
from tasks.studies.pilot import PILOT
from tasks.studies.study import Study

STUDIES: dict[StudyName, Study] = {
    "label-efficiency": LABEL_EFFICIENCY,
    "pilot": PILOT,
}
