"""What is to be labelled; labelling that cannot begin is refused. Knows no Prefect.

The steps that open a run ask here; the command line asks before it starts anything, so that a wrong name is told at
once.
"""

from __future__ import annotations

from tasks.config.labels import LabelConfig
from tasks.database import open_database
from tasks.labels.labellers import judge_price
from tasks.labels.pairs import chosen_pairs
from tasks.named_models import check_model
from tasks.settings import Settings


def check_labelling(config: LabelConfig, settings: Settings) -> None:
    """Refuse a labelling that cannot begin.

    Raises:
        LookupError: If there is no such curation run.
        NothingToDoError: If it has no pair that fits.
        ModelLoadError: If a folder holds no reward model.
        ValueError: If a judge's limit of money has no price.
    """
    if config.machine == "judge":
        judge_price(config.judge, settings)
    with open_database(settings) as sessions, sessions() as session:
        chosen_pairs(session, config.pairs)
        if config.machine == "reward_model" and config.reward_model.name:
            check_model(sessions, config.reward_model.name, settings)
