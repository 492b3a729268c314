"""The labelling step: pairs in, judgements and preferences out. Resumes: what is judged is never asked again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from db import runs
from db.engine import batches
from db.labels import judgements, leases, preferences, replies
from db.labels.queueing import adjudication
from models.chat.batches import MOST_LINES, Batching
from models.judging.errors import BudgetExhaustedError, JudgeServerError
from models.judging.replies import StoredReply
from models.labelling import Labeller, as_judgement
from models.labelling.records import Judgement, Opinion, PairKey
from models.records import shortened
from tasks.batches import batching_of
from tasks.budgets import budget_of
from tasks.config.labels import TO_BE_READ, JudgeConfig, LabelConfig
from tasks.database import keep
from tasks.devices import device
from tasks.errors import MuteJudgeError
from tasks.labels.labellers import holds_model, make_labeller
from tasks.labels.pairs import chosen_pairs
from tasks.labels.people import open_people_queue, queue_of_pairs
from tasks.labels.routing import settled_split
from tasks.labels.showings import Showing, open_showings
from tasks.progress import Advance, say, stage_progress
from tasks.run_kinds import LABELLING, RunAtWork, run_at_work

PAIRS_PER_BATCH = MOST_LINES // 2  # in both orders
MUTE = 50  # replies without a single verdict among them, after which no more are paid for

_WHY_SKIPPED = {
    "gold": "neither response, or both, is a reference; curate with --source.has_references",
    "source": "their source says nothing of the two; import rows with a preference, or name what it compares by: "
    "--source.criterion better",
    "scores": "a score is missing, or neither is positive; import responses with scores",
    "reward_model": "they are longer than reward_model.max_tokens or the model's context",
}


@task(name="label", task_run_name="label for run {run_id}", cache_policy=NO_CACHE)
def judge_pairs(run_id: int) -> None:
    """Have the run's annotator judge its pairs, and keep the preferences up to date."""
    with run_at_work(run_id, LABELLING) as run:
        with run.sessions() as session:
            _, pairs = chosen_pairs(session, run.config.pairs)
        if run.config.annotator == "people":
            open_people_queue(run.config, run.settings)
            return
        if run.config.annotator == "routed":
            pairs = _sent_to_the_machine(run, pairs)  # the others wait for people
        if pairs:
            judge_with(run, run.config.of_machine(), pairs)


def _sent_to_the_machine(run: RunAtWork[LabelConfig], pairs: Sequence[PairKey]) -> list[PairKey]:
    """Settle which pairs go where, put those of people into their queue, say it, and return the others."""
    with run.sessions.begin() as session:
        split = settled_split(session, run.run_id, pairs, run.config, run.settings)
        if split.people:
            labelled = int(run.config.pairs.run)
            known = split.probabilities
            queue_of_pairs(session, labelled, split.people, run.config, run.settings, probabilities=known)
    say(split.words(run.config.routed.cheap))
    return list(split.cheap)


def judge_with(run: RunAtWork[Any], config: LabelConfig, pairs: Sequence[PairKey]) -> tuple[int, bool]:
    """Have an annotator judge pairs for a run; return the annotator's id, and whether the budget paid for all."""
    replies, budget = DatabaseReplies(run), budget_of(run, config.judge)
    batching = judge_batching(run, config.judge)
    with device(is_used=holds_model(config), is_shared_out=True) as backends:
        labeller = make_labeller(
            config, run.settings, replies=replies, budget=budget, batching=batching, start=backends.start_alone
        )
        with closing(labeller):
            stage = LabelStage(run, labeller, config)
            return stage.annotator_id, stage.run(pairs, replies)


def judge_batching(run: RunAtWork[Any], judge: JudgeConfig) -> Batching | None:
    """What a judge that is asked in batches needs; None for one that is asked question by question."""
    return batching_of(run, judge, purpose="judge", model=judge.model or "", url=judge.base_url or "")


class DatabaseReplies:
    """The judge's replies in the database: a question that was answered once is never paid for again."""

    def __init__(self, run: RunAtWork[Any]) -> None:
        self._sessions = run.sessions
        self._run_id = run.run_id
        self._settings = run.settings
        self.on_reply: Callable[[], None] = lambda: None

    def get(self, keys: Sequence[str]) -> dict[str, StoredReply]:
        """The stored replies among these keys."""
        with self._sessions() as session:
            return replies.find_replies(session, keys)

    def put(self, key: str, reply: StoredReply) -> None:
        """Store a reply in a transaction of its own; it is kept while the database is away, since it was paid for."""

        def store() -> None:
            with self._sessions.begin() as session:
                replies.add_replies(session, self._run_id, {key: reply})

        keep(store, self._settings)
        self.on_reply()


class _Counted:
    """Moves the bar over a shard: by one with every reply, and to the end when the shard is done."""

    def __init__(self, total: int, advance: Advance) -> None:
        self._left = total
        self._advance = advance

    def add(self, count: int = 1) -> None:
        """Count, at most up to the shard's size: a reply without a verdict is asked for again, and comes twice."""
        count = min(count, self._left)
        self._left -= count
        if count:
            self._advance(count)

    def finish(self) -> None:
        """Count what is left."""
        self.add(self._left)


class LabelStage:
    """Reads pairs, asks the annotator, stores, shard by shard."""

    def __init__(self, run: RunAtWork[Any], labeller: Labeller, config: LabelConfig) -> None:
        self._sessions = run.sessions
        self._run_id = run.run_id
        self._labeller = labeller
        self._config = config
        with run.sessions.begin() as session:
            self.annotator_id = judgements.add_annotator(session, labeller.identity)
            runs.set_annotator(session, run.run_id, self.annotator_id)

    def run(self, pairs: Sequence[PairKey], replies: DatabaseReplies) -> bool:
        """Label all pairs, or as many as the budget pays for; return whether all are labelled.

        What the annotator has said in a calibration is not asked again: it becomes a label of this run.

        Raises:
            MuteJudgeError: If no reply so far has a verdict, of `MUTE` or more.
        """
        self._take_over(pairs)
        skipped: dict[PairKey, str | None] = {}
        unread: list[str] = []
        mute: list[str] | None = []  # all replies, as long as none has a verdict
        is_out_of_budget = False
        per_pair = 2 if self._labeller.identity.has_both_orders else 1
        with stage_progress("label", per_pair * len(pairs), "verdicts") as advance:
            is_batch = self._config.annotator == "judge" and self._config.judge.mode == "batch"
            per_shard = PAIRS_PER_BATCH if is_batch else self._config.pairs_per_shard
            for shard in batches(pairs, per_shard):
                if mute is not None and len(mute) >= MUTE:
                    raise MuteJudgeError(_why_mute(mute))
                counted = _Counted(per_pair * len(shard), advance)
                showings = self._open_showings(shard)
                counted.add(per_pair * len(shard) - len(showings))
                replies.on_reply = counted.add
                opinions, is_out_of_budget = self._ask(showings)
                self._store(showings, opinions)
                skipped |= {
                    showing.text.pair: opinion.raw_reply
                    for showing, opinion in zip(showings, opinions, strict=True)
                    if opinion is not None and opinion.verdict == "skip"
                }
                if mute is not None:
                    answers = [opinion for opinion in opinions if opinion is not None]
                    is_mute = all(answer.verdict == "unparsed" for answer in answers)
                    mute = [*mute, *(answer.raw_reply or "" for answer in answers)] if is_mute else None
                unread += [reason for opinion in opinions if opinion and (reason := _why_unread(opinion))]
                if is_out_of_budget:
                    break
                counted.finish()
        if is_out_of_budget:
            say(
                "the budget is used up, since a request is sent only if the most it can cost still fits; "
                "the same command again spends as much on what is left"
            )
        if skipped:
            why = _WHY_SKIPPED.get(self._config.annotator) or _why_refused(skipped.values())
            say(f"{len(skipped):,} pairs are skipped: {why}")
        if unread:
            say(f"{len(unread):,} replies of the judge have no verdict: {unread[0]}")
        return not is_out_of_budget

    def _take_over(self, pairs: Sequence[PairKey]) -> None:
        with self._sessions.begin() as session:
            judgements.take_turn_of_judgements(session)
            if runs.get_run(session, self._run_id).kind == runs.CALIBRATE:
                return
            taken = judgements.take_over_calibrated(session, self.annotator_id, pairs, self._run_id)
            preferences.recompute(session, taken)
        if taken:
            say(f"{len(taken):,} pairs were judged in a calibration; these verdicts are labels now")

    def _ask(self, showings: Sequence[Showing]) -> tuple[Sequence[Opinion | None], bool]:
        """The opinions on these showings, and whether the budget is used up."""
        try:
            return self._labeller.label([showing.shown_pair for showing in showings]), False
        except BudgetExhaustedError as error:
            return error.opinions, True
        except JudgeServerError as error:
            self._store(showings, error.opinions)
            raise

    def _open_showings(self, pairs: Sequence[PairKey]) -> list[Showing]:
        has_both_orders = self._labeller.identity.has_both_orders
        with self._sessions() as session:
            return open_showings(
                session, self.annotator_id, pairs, has_both_orders=has_both_orders, seed=self._config.seed
            )

    def _store(self, showings: Sequence[Showing], opinions: Sequence[Opinion | None]) -> None:
        """Store opinions, recompute the preferences and let contradictions be settled, in one transaction.

        A machine's skip is no label, so that the next run asks about the pair again.
        """
        new_judgements: list[Judgement] = [
            as_judgement(showing.text.pair, showing.left_response_id, opinion)
            for showing, opinion in zip(showings, opinions, strict=True)
            if opinion is not None and opinion.verdict != "skip"
        ]
        if new_judgements:
            pairs = [judgement.pair for judgement in new_judgements]
            with self._sessions.begin() as session:
                leases.take_turn(session)
                judgements.add_judgements(session, self.annotator_id, new_judgements, run_id=self._run_id)
                preferences.recompute(session, pairs)
                adjudication.feed(session, pairs)


def _why_mute(replies: Sequence[str]) -> str:
    return (
        f"none of the first {len(replies):,} replies has a verdict, such as {shortened(replies[0], 60)!r}, and no more "
        f"are asked for: {TO_BE_READ}; the same command goes on with the next pairs"
    )


def _why_unread(opinion: Opinion) -> str | None:
    """Why a judge's reply has no verdict, where more is known than that."""
    return opinion.rationale if opinion.verdict == "unparsed" else None


def _why_refused(reasons: Iterable[str | None]) -> str:
    """The most frequent reasons for which a judge's server refused pairs; the next run asks about them again."""
    (first, count), *others = Counter(reason or "no reason given" for reason in reasons).most_common()
    more = f" ({count:,} of them; {len(others):,} other reasons)" if others else ""
    return f"{first}{more}; the next run asks about them again"
