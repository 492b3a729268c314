"""The studies by their names."""

from __future__ import annotations

from tasks.config.studies import StudyName
from tasks.studies.label_efficiency import LABEL_EFFICIENCY
from tasks.studies.ld_align import LD_ALIGN
from tasks.studies.losses import LOSSES
from tasks.studies.pilot import PILOT
from tasks.studies.study import Study

STUDIES: dict[StudyName, Study] = {
    "label-efficiency": LABEL_EFFICIENCY,
    "ld-align": LD_ALIGN,
    "losses": LOSSES,
    "pilot": PILOT,
}
