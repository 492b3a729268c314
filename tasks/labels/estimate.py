"""What a labelling would do, told before it begins. Stores nothing, loads no model, asks no judge. Knows no Prefect."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from db import measured, runs
from db.engine import Session, batches
from db.labels import judgements, replies
from models.judging.budget import Budget
from models.judging.judge import JudgeLabeller
from models.judging.replies import StoredReply
from models.labelling.records import PairKey
from tasks.config.labels import JudgeConfig, LabelConfig
from tasks.database import looked_at, open_database
from tasks.estimates import (
    CHARACTERS_A_TOKEN,
    FROM_TEXT,
    Estimate,
    Figure,
    Limits,
    money_figure,
    rate,
    time_figure,
)
from tasks.labels.choices import check_labelling
from tasks.labels.labellers import annotator_identity, judge_price, make_labeller
from tasks.labels.pairs import chosen_pairs
from tasks.labels.showings import Showing, open_showings
from tasks.settings import Settings

# Measured on SQLite with the indexes, a row: of judgements and of replies (beside the text), of preferences.
JUDGEMENT_BYTES, REPLY_BYTES, PREFERENCE_BYTES = 140, 220, 100
MINUTE = 60.0
STOPS = "then it ends with what is judged, and the same command again spends as much on what is left"


@dataclass(frozen=True, slots=True)
class JudgeWork:
    """What a judge is to be asked.

    `replies`: answers it has to give. `characters`: of all that is sent. `overhead`: of a question, beside the texts.
    """

    replies: int
    characters: float
    overhead: float


class _StoredReplies:
    """The judge's stored replies, to be looked at."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, keys: Sequence[str]) -> dict[str, StoredReply]:
        """The stored replies among these keys."""
        return replies.find_replies(self._session, keys)

    def put(self, key: str, reply: StoredReply) -> None:
        """Nobody is asked, so that there is nothing to keep."""
        raise AssertionError(key, reply)


def estimate_labelling(config: LabelConfig, settings: Settings) -> Estimate:
    """What a labelling would do.

    Raises:
        Exception: Whatever `check_labelling` raises.
    """
    with looked_at(settings) as settings:  # noqa: PLR1704 - from here on these are meant
        check_labelling(config, settings)
        with open_database(settings) as sessions, sessions() as session:
            labelled_run_id, pairs = chosen_pairs(session, config.pairs)
            named = config.pairs.model_copy(update={"run": str(labelled_run_id)})
            run_config = config.model_copy(update={"pairs": named})
            run_id = runs.find_unfinished(session, run_config.stored_keys())
            figures = [Figure("pairs", len(pairs), f"of run {labelled_run_id}")]
            notes = [f"takes up run {run_id}, which did not finish"] if run_id is not None else []
            if config.annotator == "people":
                return Estimate("label", (*figures, *_people(config, len(pairs))), tuple(notes))
            if config.annotator == "judge":
                return _by_judge(session, config, settings, pairs, figures, notes, run_id)
            return Estimate("label", (*figures, *_by_machine(session, config, settings, pairs)), tuple(notes))


def judge_figures(session: Session, config: JudgeConfig, settings: Settings, work: JudgeWork) -> list[Figure]:
    """What so many replies of a judge take: requests, tokens in and out, money, time."""
    ids = measured.annotators_like(session, "judge", model=config.model, has_rationale=config.has_rationale)
    asked = [judgement for judgement in measured.judgements_of(session, ids) if judgement.requests]
    seen = sum(judgement.requests for judgement in asked)
    retries = (config.parse_retries + 1) * (config.max_retries + 1)
    basis = f"one a reply to {config.base_url}; {retries} a reply at most"
    requests = Figure("requests", work.replies, basis, "≈" if work.replies else "")
    tokens_in = Figure("tokens in", work.characters / CHARACTERS_A_TOKEN, FROM_TEXT, "≈")
    basis = f"judge.max_tokens {config.max_tokens} each; it has not judged yet"
    tokens_out = Figure("tokens out", work.replies * config.max_tokens, basis, "≤")
    if seen and work.replies:
        attempts = seen / len(asked)
        requests = Figure("requests", work.replies * attempts, f"{attempts:.2f} a reply, as before", "≈")
        characters = sum(judgement.characters for judgement in asked) + len(asked) * work.overhead
        a_token = characters / (sum(judgement.input_tokens for judgement in asked) or 1)
        basis = f"{a_token:.1f} characters a token, as in its {len(asked):,} judgements"
        tokens_in = Figure("tokens in", work.characters / a_token, basis, "≈")
        mean = sum(judgement.output_tokens for judgement in asked) / len(asked)
        tokens_out = Figure("tokens out", work.replies * mean, f"{mean:.0f} a reply, as before", "≈")
    money = money_figure(judge_price(config, settings), tokens_in, tokens_out)
    per_second = rate([judgement.stored_at for judgement in asked], measured.run_starts(session))
    least = work.replies * MINUTE / config.requests_per_minute if config.requests_per_minute else 0.0
    time = time_figure("time", work.replies, per_second, unit="replies", at_least_s=least)
    return [requests, tokens_in, tokens_out, money, time]


def judge_limits(config: JudgeConfig, section: str, *, spent_requests: int = 0, spent_cost: float = 0.0) -> Limits:
    """A judge's budget, and what a run that did not finish has spent of it."""
    return Limits(section, config.max_requests, config.max_cost, spent_requests, spent_cost)


def _by_judge(
    session: Session,
    config: LabelConfig,
    settings: Settings,
    pairs: Sequence[PairKey],
    figures: list[Figure],
    notes: list[str],
    run_id: int | None,
) -> Estimate:
    labeller = make_labeller(
        config, settings, replies=_StoredReplies(session), budget=Budget(max_requests=None, max_cost=None)
    )
    assert isinstance(labeller, JudgeLabeller)
    annotator_id = judgements.find_annotator(session, labeller.identity)
    verdicts, questions = 0, dict[str, tuple[int, int]]()
    for shard in batches(pairs, config.pairs_per_shard):
        showings = open_showings(session, annotator_id, shard, has_both_orders=True, seed=config.seed)
        verdicts += len(showings)
        for question in labeller.unanswered(showing.shown_pair for showing in showings):
            sent = sum(len(message.content) for message in question.messages)
            questions[question.keys[0]] = sent, len(question.messages)
    texts = _mean_texts(session, pairs)
    work = JudgeWork(len(questions), sum(sent for sent, _ in questions.values()), 0.0)
    if questions:
        work = JudgeWork(work.replies, work.characters, max(work.characters / work.replies - texts, 0.0))
    counts = [
        Figure("verdicts stored", 2 * len(pairs) - verdicts, "of the same judge, which is asked in both orders"),
        Figure("replies stored", verdicts - len(questions), "or not needed, as for equal texts: they cost nothing"),
        Figure("replies to come", len(questions), f"{verdicts:,} verdicts are missing"),
    ]
    asked = judge_figures(session, config.judge, settings, work)
    requests, _, _, money, _ = asked
    spent = runs.get_run(session, run_id) if run_id is not None else None
    limits = judge_limits(
        config.judge, "judge", spent_requests=spent.requests if spent else 0, spent_cost=spent.cost if spent else 0.0
    )
    if note := limits.note(requests, money, STOPS):
        notes.append(note)
    size = verdicts * JUDGEMENT_BYTES + len(questions) * REPLY_BYTES + len(pairs) * PREFERENCE_BYTES
    disk = Figure("disk, database", size, "judgements, replies, preferences", "≈", "bytes")
    price = judge_price(config.judge, settings)
    return Estimate("label", (*figures, *counts, *asked, disk), tuple(notes), price.currency)


def _mean_texts(session: Session, pairs: Sequence[PairKey]) -> float:
    """Mean characters of prompt and both responses, over the first pairs."""
    shown = [showing.shown_pair for showing in _sample(session, pairs)]
    return sum(len(pair.prompt.text) + len(pair.left.text) + len(pair.right.text) for pair in shown) / len(shown)


def _sample(session: Session, pairs: Sequence[PairKey]) -> Iterable[Showing]:
    return open_showings(session, None, pairs[:256], has_both_orders=False, seed=0)


def _by_machine(session: Session, config: LabelConfig, settings: Settings, pairs: Sequence[PairKey]) -> list[Figure]:
    """An annotator that costs no money: a reward model, a data set's own labels."""
    annotator_id, reward_model = None, config.reward_model.name
    if reward_model is None or Path(reward_model).is_dir():  # the hub is not asked
        annotator_id = judgements.find_annotator(session, annotator_identity(config, settings))
    to_judge = sum(
        len(open_showings(session, annotator_id, shard, has_both_orders=False, seed=config.seed))
        for shard in batches(pairs, config.pairs_per_shard)
    )
    ids = measured.annotators_like(session, config.annotator, **({"model": reward_model} if reward_model else {}))
    stored_at = [judgement.stored_at for judgement in measured.judgements_of(session, ids)]
    size = to_judge * JUDGEMENT_BYTES + len(pairs) * PREFERENCE_BYTES
    return [
        Figure("verdicts stored", len(pairs) - to_judge, "of the same annotator"),
        Figure("verdicts to come", to_judge, f"by {config.annotator}, on this machine", "≤" if to_judge else ""),
        Figure("disk, database", size, "judgements, preferences", "≈", "bytes"),
        time_figure("time", to_judge, rate(stored_at, measured.run_starts(session)), unit="verdicts"),
    ]


def _people(config: LabelConfig, pairs: int) -> list[Figure]:
    per_pair = config.people.judgements_per_pair
    return [Figure("verdicts to come", pairs * per_pair, f"{per_pair} a pair, by people at the labelling page", "≤")]
