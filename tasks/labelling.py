"""The labelling step: pairs in, judgements and preferences out. Resumes: what is judged is never asked again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

from prefect import task
from prefect.cache_policies import NO_CACHE

from db import runs
from db.engine import Session, Sessions, batches
from db.labels import judgements, labelling, preferences, replies
from db.labels.labelling import PairText
from models.labelling import Labeller, as_judgement
from models.labelling.budget import Budget
from models.labelling.judge_errors import BudgetExhaustedError, JudgeServerError
from models.labelling.records import Judgement, Opinion, PairKey, ShownPair
from models.labelling.replies import StoredReply
from tasks.database import open_database
from tasks.devices import device
from tasks.label_config import JudgeConfig, LabelConfig
from tasks.labellers import holds_model, make_labeller
from tasks.number_formats import chosen_format, keep_format, with_format
from tasks.pairs import chosen_pairs
from tasks.people import open_people_queue
from tasks.progress import Advance, say, stage_progress
from tasks.runs import opened
from tasks.settings import Settings

_WHY_SKIPPED = {
    "gold": "neither response, or both, is a reference; curate with --source.has_references",
    "source": "their source prefers none of the two; import rows with a preference",
    "scores": "a score is missing, or neither is positive; import responses with scores",
    "reward_model": "they are longer than reward_model.max_tokens or the model's context",
}


@dataclass(frozen=True, slots=True)
class Showing:
    """A pair with one of its responses on the left."""

    text: PairText
    left_response_id: int


@task(name="open label run", task_run_name="open label run", cache_policy=NO_CACHE)
def open_label_run(config: LabelConfig) -> int:
    """Store a run that labels, or take up the unfinished one of the same configuration; return its id.

    Raises:
        LookupError: If there is no such curation run.
        NothingToDoError: If it has no pair that fits.
    """
    return opened(lambda sessions, version: _open(sessions, config, version))


@task(name="label", task_run_name="label for run {run_id}", cache_policy=NO_CACHE)
def judge_pairs(run_id: int) -> None:
    """Have the run's annotator judge its pairs, and keep the preferences up to date."""
    settings = Settings()
    with open_database(settings) as sessions:
        with sessions() as session:
            config = load_label_config(session, run_id)
            _, pairs = chosen_pairs(session, config.pairs)
        if config.annotator == "people":
            open_people_queue(config, settings)
            return
        replies, budget = DatabaseReplies(sessions, run_id), budget_of(sessions, run_id, config.judge)
        labeller = make_labeller(config, settings, replies=replies, budget=budget)
        with device(is_used=holds_model(config)), closing(labeller):
            LabelStage(sessions, run_id, labeller, config).run(pairs, replies)


def load_label_config(session: Session, run_id: int) -> LabelConfig:
    """The configuration a run that labels was opened with, its number format settled."""
    run = runs.get_run(session, run_id)
    return with_format(LabelConfig.model_validate(run.config), run.dtype)


class DatabaseReplies:
    """The judge's replies in the database: a question that was answered once is never paid for again."""

    def __init__(self, sessions: Sessions, run_id: int) -> None:
        self._sessions = sessions
        self._run_id = run_id
        self.on_reply: Callable[[], None] = lambda: None

    def get(self, keys: Sequence[str]) -> dict[str, StoredReply]:
        """The stored replies among these keys."""
        with self._sessions() as session:
            return replies.find_replies(session, keys)

    def put(self, key: str, reply: StoredReply) -> None:
        """Store a reply in a transaction of its own."""
        with self._sessions.begin() as session:
            replies.add_replies(session, self._run_id, {key: reply})
        self.on_reply()


class _Counted:
    """Moves a bar for a shard: with every reply, and to the shard's end when it is done."""

    def __init__(self, total: int, advance: Advance) -> None:
        self._left = total
        self._advance = advance

    def add(self, count: int = 1) -> None:
        """Count, but no more than the shard has: a reply without a verdict is asked for again."""
        count = min(count, self._left)
        self._left -= count
        if count:
            self._advance(count)

    def finish(self) -> None:
        """Count what is left."""
        self.add(self._left)


class LabelStage:
    """Reads pairs, asks the annotator, stores, shard by shard."""

    def __init__(self, sessions: Sessions, run_id: int, labeller: Labeller, config: LabelConfig) -> None:
        self._sessions = sessions
        self._run_id = run_id
        self._labeller = labeller
        self._config = config
        with sessions.begin() as session:
            self._annotator_id = judgements.add_annotator(session, labeller.identity)
            runs.set_annotator(session, run_id, self._annotator_id)

    def run(self, pairs: Sequence[PairKey], replies: DatabaseReplies) -> bool:
        """Label all pairs, or as many as the budget pays for; return whether it paid for all."""
        skipped: set[PairKey] = set()
        is_out_of_budget = False
        per_pair = 2 if self._labeller.identity.has_both_orders else 1
        with stage_progress("label", per_pair * len(pairs), "verdicts") as advance:
            for shard in batches(pairs, self._config.pairs_per_shard):
                counted = _Counted(per_pair * len(shard), advance)
                showings = self._open_showings(shard)
                counted.add(per_pair * len(shard) - len(showings))
                replies.on_reply = counted.add
                opinions, is_out_of_budget = self._ask(showings)
                self._store(showings, opinions)
                skipped |= {
                    one.text.pair
                    for one, opinion in zip(showings, opinions, strict=True)
                    if opinion is not None and opinion.verdict == "skip"
                }
                if is_out_of_budget:
                    break
                counted.finish()
        if is_out_of_budget:
            say(
                "the budget is used up, since a request is sent only if the most it can cost still fits; "
                "the same command again spends as much on what is left"
            )
        if skipped:
            why = _WHY_SKIPPED.get(self._config.annotator, "see their raw replies")
            say(f"{len(skipped):,} pairs are skipped: {why}")
        return not is_out_of_budget

    def _ask(self, showings: Sequence[Showing]) -> tuple[Sequence[Opinion | None], bool]:
        """The opinions on these showings, and whether the budget is used up."""
        try:
            return self._labeller.label([_shown(one) for one in showings]), False
        except BudgetExhaustedError as error:
            return error.opinions, True
        except JudgeServerError as error:
            self._store(showings, error.opinions)
            raise

    def _open_showings(self, pairs: Sequence[PairKey]) -> list[Showing]:
        """What the annotator has not judged yet: both orders, or one whose side is a coin."""
        with self._sessions() as session:
            done = judgements.judged_showings(session, self._annotator_id, pairs)
            texts = labelling.pair_texts(session, pairs)
        judged = {pair for pair, _ in done}
        if self._labeller.identity.has_both_orders:
            both = [Showing(text, left) for text in texts for left in text.pair]
            return [one for one in both if (one.text.pair, one.left_response_id) not in done]
        return [
            Showing(text, labelling.left_side(text.pair, self._config.seed))
            for text in texts
            if text.pair not in judged
        ]

    def _store(self, showings: Sequence[Showing], opinions: Sequence[Opinion | None]) -> None:
        """Store opinions, and what they make of the preferences, in one transaction.

        A machine's skip is no label; one that was paid for is kept, so that nobody pays for it again.
        """
        made: list[Judgement] = [
            as_judgement(one.text.pair, one.left_response_id, opinion)
            for one, opinion in zip(showings, opinions, strict=True)
            if opinion is not None and (opinion.verdict != "skip" or opinion.requests)
        ]
        if made:
            with self._sessions.begin() as session:
                judgements.add_judgements(session, self._annotator_id, made, run_id=self._run_id)
                preferences.recompute(session, [judgement.pair for judgement in made])


def budget_of(sessions: Sessions, run_id: int, judge: JudgeConfig) -> Budget:
    """What the run may spend still; all that is spent goes to its row first."""

    def spend(requests: int, cost: float) -> None:
        with sessions.begin() as session:
            runs.spend(session, run_id, requests, cost)

    with sessions() as session:
        run = runs.get_run(session, run_id)
        return Budget(
            max_requests=judge.max_requests,
            max_cost=judge.max_cost,
            spent_requests=run.requests,
            spent_cost=run.cost,
            ledger=spend,
        )


def _shown(showing: Showing) -> ShownPair:
    return showing.text.shown(showing.left_response_id)


def _open(sessions: Sessions, config: LabelConfig, version: str) -> int:
    with sessions.begin() as session:
        labelled_run_id, _ = chosen_pairs(session, config.pairs)
        # `last` is another run tomorrow: what is stored and taken up again names the run.
        named = config.pairs.model_copy(update={"run": str(labelled_run_id)})
        config = config.model_copy(update={"pairs": named})
        run_id = runs.find_unfinished(session, config.key)
        if run_id is not None:
            runs.set_status(session, run_id, runs.RUNNING)
            say(f"taking up run {run_id}, which did not finish")
            if holds_model(config):
                keep_format(session, run_id, config)
            return run_id
        return runs.open_run(
            session,
            kind=runs.LABEL,
            name=config.name,
            config=config.model_dump(mode="json"),
            config_key=config.key,
            code_version=version,
            labelled_run_id=labelled_run_id,
            number_format=chosen_format(config) if holds_model(config) else None,
        )
