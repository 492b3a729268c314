"""The studies by their names."""

from __future__ import annotations

from tasks.config.studies import StudyName
from tasks.studies.embedding_drift import EMBEDDING_DRIFT
from tasks.studies.label_efficiency import LABEL_EFFICIENCY
from tasks.studies.methods.ld_align import LD_ALIGN
from tasks.studies.methods.losses import LOSSES
from tasks.studies.noise import NOISE
from tasks.studies.pilot import PILOT
from tasks.studies.policies.alignment_learner import ALIGNMENT_LEARNER, by_learner
from tasks.studies.policies.real_candidates import REAL_CANDIDATES
from tasks.studies.policies.real_pairs import REAL_PAIRS
from tasks.studies.study import Study

STUDIES: dict[StudyName, Study] = {
    "label-efficiency": by_learner(LABEL_EFFICIENCY, ALIGNMENT_LEARNER),
    "ld-align": LD_ALIGN,
    "losses": LOSSES,
    "pilot": PILOT,
    "real-pairs": REAL_PAIRS,
    "real-candidates": REAL_CANDIDATES,
    "noise": NOISE,
    "embedding-drift": EMBEDDING_DRIFT,
}
