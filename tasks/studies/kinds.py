"""The studies by their names."""

from __future__ import annotations

from tasks.config.studies import StudyName
from tasks.studies.embedding_drift import EMBEDDING_DRIFT
from tasks.studies.noise import NOISE
from tasks.studies.study import Study

STUDIES: dict[StudyName, Study] = {
    "noise": NOISE,
    "embedding-drift": EMBEDDING_DRIFT,
}
