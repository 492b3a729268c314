"""Composition root of labelling: an annotator from configuration and settings. No Prefect, no database."""

from __future__ import annotations

import os
from typing import Any

from models.chat.batches import Batching
from models.chat.budget import Budget
from models.chat.secrets import secrets_among
from models.fingerprint import model_fingerprint
from models.judging.asking import Asker
from models.judging.judge import JudgeLabeller
from models.judging.replies import MemoryReplies, ReplyStore
from models.judging.terms import JudgeTerms
from models.labelling import Labeller
from models.labelling.data_labels import GoldLabeller, ScoresLabeller, SourceLabeller
from models.labelling.records import AnnotatorIdentity
from models.labelling.reward_model import IDENTIFYING_ARGUMENTS, IsolatedRewardModel, reward_model_identity
from models.labelling.rubric import RubricLabeller
from models.processes.isolation import IsolatedProcess, StartsBackend
from tasks.config.labels import JudgeConfig, LabelConfig, RewardModelConfig
from tasks.config.servers import AskedServer
from tasks.prices import Price, price_of
from tasks.settings import Settings

_OF_THE_BUDGET = {"max_requests", "max_cost"}
_PRICES = {"input_price", "output_price"}
_OF_PAIRS = {"prompt", "has_rationale", "is_constrained"}


def make_labeller(
    config: LabelConfig,
    settings: Settings,
    *,
    replies: ReplyStore,
    budget: Budget,
    batching: Batching | None = None,
    start: StartsBackend = IsolatedProcess,
) -> Labeller:
    """Build the annotator; one that holds a model gets a process of its own.

    Args:
        config: Its section says which annotator; people have none.
        settings: Where logs go, and the judge's key.
        replies: Where a judge's replies are kept.
        budget: What a judge may spend.
        batching: What a judge that is asked in batches needs.
        start: What starts a model that is held.

    Raises:
        ModelLoadError: If there is no such reward model.
    """
    match config.annotator:
        case "gold":
            return GoldLabeller()
        case "source":
            return SourceLabeller(criterion=config.source.criterion)
        case "scores":
            return ScoresLabeller(min_ratio=config.scores.min_ratio)
        case "rubric":
            return RubricLabeller(temperature=config.rubric.temperature, seed=config.rubric.seed)
        case "reward_model":
            return _reward_model(config.reward_model, settings, start)
        case "judge":
            asker = make_asker(config.judge, settings, replies=replies, budget=budget, batching=batching)
            return JudgeLabeller(asker=asker, **config.judge.model_dump(include=_OF_PAIRS))
        case "people" | "routed":
            raise ValueError("people label at the page, not here; see: antipode web --help")


def annotator_identity(config: LabelConfig, settings: Settings) -> AnnotatorIdentity:
    """The identity of what `make_labeller` makes, without loading a model."""
    if config.annotator == "reward_model":
        arguments = _reward_model_arguments(config.reward_model)
        return reward_model_identity(**{name: arguments[name] for name in IDENTIFYING_ARGUMENTS})
    budget = Budget(max_requests=None, max_cost=None)
    return make_labeller(config, settings, replies=MemoryReplies(), budget=budget).identity


def make_asker(
    config: JudgeConfig, settings: Settings, *, replies: ReplyStore, budget: Budget, batching: Batching | None = None
) -> Asker:
    """Build what asks a judge's model: see `make_labeller`."""
    key, price = settings.openai_api_key, judge_price(config, settings)
    terms = JudgeTerms(
        **config.model_dump(exclude=_OF_THE_BUDGET | _OF_PAIRS | _PRICES | set(AskedServer.model_fields)),
        api_key=key.get_secret_value() if key else None,
        form=config.form,
        secrets=secrets_among(os.environ),
        input_price=price.input,
        output_price=price.output,
    )
    return Asker(terms, budget, replies, batching)


def judge_price(config: JudgeConfig, settings: Settings) -> Price:
    """What a judge's tokens cost, as configured, else by the price table.

    Raises:
        ValueError: If a limit of money is set and no price is known; if the table cannot be read.
    """
    price = price_of(
        config.model or "",
        config.base_url,
        input_price=config.input_price,
        output_price=config.output_price,
        settings=settings,
    )
    if config.max_cost is not None and not (price.input or price.output):
        raise ValueError(
            f"judge.max_cost needs a price of {config.model}: give judge.input_price and judge.output_price, or write "
            f"it into {settings.prices_file}"
        )
    return price.times(config.price_share)


def holds_model(config: LabelConfig) -> bool:
    """Whether the annotator holds a model on this machine."""
    return config.machine == "reward_model"


def _reward_model(config: RewardModelConfig, settings: Settings, start: StartsBackend) -> IsolatedRewardModel:
    log_path = settings.artifact_root / "logs" / "reward-model.log"
    arguments = _reward_model_arguments(config)
    return IsolatedRewardModel(arguments, log_path=log_path, timeout_s=config.timeout_s, start=start)


def _reward_model_arguments(config: RewardModelConfig) -> dict[str, Any]:
    assert config.name is not None  # the configuration's own rule
    return {
        "model": config.name,
        "revision": config.revision,
        "fingerprint": model_fingerprint(config.name, config.revision),
        "dtype": config.dtype,
        "device": None,
        "max_tokens": config.max_tokens,
        "tokens_per_batch": config.tokens_per_batch,
        "tie_margin": config.tie_margin,
    }
