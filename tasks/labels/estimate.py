"""What a labelling would do, told before it begins. Stores nothing, loads no model, asks no judge. Knows no Prefect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from db import measured, runs
from db.engine import Session, batches
from db.labels import judgements, replies, routes
from models.chat.budget import Budget
from models.judging.judge import JudgeLabeller
from models.judging.prompts import judge_messages
from models.judging.replies import StoredReply
from models.labelling.records import PairKey, ShownPair, ShownResponse
from models.records import Prompt
from tasks.config.labels import CalibrateConfig, JudgeConfig, LabelConfig
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
from tasks.labels.choices import check_calibration, check_labelling
from tasks.labels.labellers import annotator_identity, judge_price, make_labeller
from tasks.labels.pairs import chosen_pairs
from tasks.labels.routing import Split, route, split_of
from tasks.labels.showings import open_showings
from tasks.settings import Settings

# Measured on SQLite with the indexes, a row: of judgements and of replies (beside the text), of preferences.
JUDGEMENT_BYTES, REPLY_BYTES, PREFERENCE_BYTES = 140, 220, 100
MINUTE = 60.0
STOPS = "then it ends with what is judged, and the same command again spends as much on what is left"


@dataclass(frozen=True, slots=True)
class JudgeWork:
    """What a judge is to be asked: how many answers it has to give, the characters of all that is sent."""

    replies: int
    characters: float


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
            if config.annotator == "routed":
                split = _split(session, run_id, pairs, run_config, settings)
                notes.append(split.words(config.routed.cheap))
                waiting = _people(config, len(split.people))
                config, pairs = config.of_machine(), list(split.cheap)
                figures += [Figure("to people", len(split.people), "by what the labels so far expect"), *waiting]
            so_far = Estimate("label", tuple(figures), tuple(notes))
            return _of_machine(session, so_far, config, settings, pairs, run_id)


def estimate_calibration(config: CalibrateConfig, settings: Settings) -> Estimate:
    """What a calibration would ask.

    Raises:
        Exception: Whatever `check_calibration` raises.
    """
    with looked_at(settings) as settings:  # noqa: PLR1704 - from here on these are meant
        trusted = check_calibration(config, settings)
        with open_database(settings) as sessions, sessions() as session:
            named = config.pairs.model_copy(update={"run": str(trusted.labelled_run_id)})
            run_id = runs.find_unfinished(session, config.model_copy(update={"pairs": named}).stored_keys())
            basis = f"of run {trusted.labelled_run_id}, judged by {config.against}"
            notes = (f"takes up run {run_id}, which did not finish",) if run_id is not None else ()
            so_far = Estimate("calibrate", (Figure("pairs", len(trusted.votes), basis),), notes)
            return _of_machine(session, so_far, config.labelling(), settings, list(trusted.votes), run_id)


def _of_machine(
    session: Session,
    so_far: Estimate,
    config: LabelConfig,
    settings: Settings,
    pairs: Sequence[PairKey],
    run_id: int | None,
) -> Estimate:
    """What an annotator without people does, after what is known of the rest."""
    if config.annotator != "judge":
        figures = (*so_far.figures, *_by_machine(session, config, settings, pairs))
        return Estimate(so_far.command, figures, so_far.notes)
    judged, note = _by_judge(session, config, settings, pairs, run_id)
    currency = judge_price(config.judge, settings).currency
    notes = (*so_far.notes, *([note] if note else []))
    return Estimate(so_far.command, (*so_far.figures, *judged), notes, currency)


def _split(
    session: Session, run_id: int | None, pairs: Sequence[PairKey], config: LabelConfig, settings: Settings
) -> Split:
    """Where a run sends its pairs: as it is settled, or as it would be now."""
    settled = routes.routes_of(session, run_id) if run_id is not None else []
    return split_of(settled or route(session, pairs, config, settings))


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
    input_tokens = sum(judgement.input_tokens for judgement in asked)  # 0: its server does not count
    if input_tokens and work.replies:
        attempts = seen / len(asked)
        requests = Figure("requests", work.replies * attempts, f"{attempts:.2f} a reply, as before", "≈")
        characters = sum(judgement.characters for judgement in asked) + len(asked) * question_characters(config)
        a_token = characters / input_tokens
        basis = f"{a_token:.1f} characters a token, as in its {len(asked):,} judgements"
        tokens_in = Figure("tokens in", work.characters / a_token, basis, "≈")
        mean = sum(judgement.output_tokens for judgement in asked) / len(asked)
        tokens_out = Figure("tokens out", work.replies * mean, f"{mean:.0f} a reply, as before", "≈")
    money = money_figure(judge_price(config, settings), tokens_in, tokens_out)
    per_second = rate([judgement.stored_at for judgement in asked], measured.run_starts(session))
    least = work.replies * MINUTE / config.requests_per_minute if config.requests_per_minute else 0.0
    time = time_figure("time", work.replies, per_second, unit="replies", at_least_s=least)
    return [requests, tokens_in, tokens_out, money, time]


def question_characters(config: JudgeConfig) -> int:
    """The characters of a judge's question beside prompt and responses."""
    pair = ShownPair(Prompt.from_text(""), ShownResponse(""), ShownResponse(""))
    messages = judge_messages(pair, config.prompt, has_rationale=config.has_rationale)
    return sum(len(message.content) for message in messages)


def _by_judge(
    session: Session, config: LabelConfig, settings: Settings, pairs: Sequence[PairKey], run_id: int | None
) -> tuple[list[Figure], str | None]:
    """The figures of a judge, and what its budget does."""
    judge = config.judge
    verdicts, work = _judge_work(session, config, settings, pairs)
    asked = judge_figures(session, judge, settings, work)
    requests, _, _, money, _ = asked
    spent = (0, 0.0)
    if run_id is not None:
        run = runs.get_run(session, run_id)
        spent = run.requests, run.cost
    size = verdicts * JUDGEMENT_BYTES + work.replies * REPLY_BYTES + len(pairs) * PREFERENCE_BYTES
    figures = [
        Figure("verdicts stored", 2 * len(pairs) - verdicts, "of the same judge, which is asked in both orders"),
        Figure("replies stored", verdicts - work.replies, "or not needed, as for equal texts: they cost nothing"),
        Figure("replies to come", work.replies, f"{verdicts:,} verdicts are missing"),
        *asked,
        Figure("disk, database", size, "judgements, replies, preferences", "≈", "bytes"),
    ]
    return figures, Limits("judge", judge.max_requests, judge.max_cost, *spent).note(requests, money, STOPS)


def _judge_work(
    session: Session, config: LabelConfig, settings: Settings, pairs: Sequence[PairKey]
) -> tuple[int, JudgeWork]:
    """How many verdicts are missing, and what is to be asked for them."""
    budget = Budget(max_requests=None, max_cost=None)
    labeller = make_labeller(config, settings, replies=_StoredReplies(session), budget=budget)
    assert isinstance(labeller, JudgeLabeller)
    annotator_id = judgements.find_annotator(session, labeller.identity)
    verdicts, characters = 0, dict[str, int]()
    for shard in batches(pairs, config.pairs_per_shard):
        showings = open_showings(session, annotator_id, shard, has_both_orders=True, seed=config.seed)
        verdicts += len(showings)
        for question in labeller.unanswered(showing.shown_pair for showing in showings):
            characters[question.keys[0]] = sum(len(message.content) for message in question.messages)
    return verdicts, JudgeWork(len(characters), sum(characters.values()))


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
    people = config.people
    several = round(people.overlap * pairs)  # as `overlapping` draws them
    share = "" if people.overlap == 1 else f" for {people.overlap:.0%} of them, 1 for the others"
    words = f"{people.judgements_per_pair} a pair{share}, by people at the labelling page"
    return [Figure("verdicts to come", pairs + several * (people.judgements_per_pair - 1), words, "≤")]
