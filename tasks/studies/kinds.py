"""The studies by their names."""

from __future__ import annotations

from tasks.config.studies import StudyName
from tasks.studies.real_candidates import REAL_CANDIDATES
from tasks.studies.study import Study

STUDIES: dict[StudyName, Study] = {"real-candidates": REAL_CANDIDATES}
