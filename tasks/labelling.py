"""The labelling step: pairs in, judgements and preferences out. Resumes: what is judged is never asked again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prefect import task
from prefect.cache_policies import NO_CACHE
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from db import judgements, labelling, preferences, queues, replies, runs
from db.engine import batches
from db.labelling import PairText
from models.labelling import Labeller, as_judgement
from models.labelling.judge_errors import BudgetExhaustedError, JudgeServerError
from models.labelling.records import Judgement, Opinion, PairKey, ShownPair
from models.labelling.replies import StoredReply
from tasks.config import LabelConfig
from tasks.errors import NothingToDoError
from tasks.labellers import make_labeller
from tasks.progress import say, stage_progress
from tasks.resources import open_database
from tasks.runs import code_version
from tasks.settings import Settings


@dataclass(frozen=True, slots=True)
class Showing:
    """A pair with one of its responses on the left."""

    text: PairText
    left_response_id: int


@task(name="open label run", cache_policy=NO_CACHE)
def open_label_run(config: LabelConfig) -> int:
    """Store a run that labels, or take up the unfinished one of the same configuration; return its id.

    Raises:
        LookupError: If there is no such curation run.
        NothingToDoError: If it has no pair that fits.
    """
    version = code_version()
    with open_database(Settings()) as sessions:
        try:
            return _open(sessions, config, version)
        except IntegrityError:  # the same command was started at the same moment, and was first
            return _open(sessions, config, version)


@task(name="label", task_run_name="label for run {run_id}", cache_policy=NO_CACHE)
def judge_pairs(run_id: int) -> None:
    """Have the run's annotator judge its pairs, and keep the preferences up to date."""
    settings = Settings()
    with open_database(settings) as sessions:
        with sessions() as session:
            config = load_label_config(session, run_id)
            pairs = run_pairs(session, config)
        if config.annotator == "people":
            open_people_queue(config, settings)
            return
        with sessions() as session:
            spent = judgements.spent(session, run_id)
        labeller = make_labeller(config, settings, replies=DatabaseReplies(sessions, run_id), spent=spent)
        try:
            _LabelStage(sessions, run_id, labeller, config).run(pairs)
        finally:
            labeller.close()


def open_people_queue(config: LabelConfig, settings: Settings) -> int:
    """Put pairs into a queue for the labelling page; the same pairs and overlap are the same queue. Returns its id."""
    with open_database(settings) as sessions, sessions.begin() as session:
        run = runs.get_run(session, runs.find_run(session, config.pairs.run))
        name = ", ".join([f"{run.name} (run {run.id})", *config.pairs.strategies])
        return queues.open_queue(
            session,
            name=name,
            pairs=run_pairs(session, config),
            judgements_per_pair=config.people.judgements_per_pair,
            seed=config.seed,
        )


def load_label_config(session: Session, run_id: int) -> LabelConfig:
    """The configuration a run that labels was opened with."""
    return LabelConfig.model_validate(runs.get_run(session, run_id).config)


def run_pairs(session: Session, config: LabelConfig) -> list[PairKey]:
    """The pairs a configuration names.

    Raises:
        LookupError: If there is no such curation run.
        NothingToDoError: If it has no pair that fits.
    """
    run_id = runs.find_run(session, config.pairs.run)
    pairs = labelling.pair_keys(session, run_id, strategies=config.pairs.strategies, limit=config.pairs.limit)
    if not pairs:
        of = " or ".join(config.pairs.strategies) or "any strategy"
        raise NothingToDoError(f"run {run_id} has no pair of {of}; see: antipode runs")
    return pairs


class DatabaseReplies:
    """The judge's replies in the database: a question that was answered once is never paid for again."""

    def __init__(self, sessions: sessionmaker[Session], run_id: int) -> None:
        self._sessions = sessions
        self._run_id = run_id

    def get(self, keys: Sequence[str]) -> dict[str, StoredReply]:
        """The stored replies among these keys."""
        with self._sessions() as session:
            return replies.find_replies(session, keys)

    def put(self, key: str, reply: StoredReply) -> None:
        """Store a reply in a transaction of its own."""
        with self._sessions.begin() as session:
            replies.add_replies(session, self._run_id, {key: reply})


class _LabelStage:
    """Reads pairs, asks the annotator, stores, shard by shard."""

    def __init__(self, sessions: sessionmaker[Session], run_id: int, labeller: Labeller, config: LabelConfig) -> None:
        self._sessions = sessions
        self._run_id = run_id
        self._labeller = labeller
        self._config = config
        with sessions.begin() as session:
            self._annotator_id = judgements.add_annotator(session, labeller.identity)

    def run(self, pairs: Sequence[PairKey]) -> None:
        """Label all pairs, or as many as the budget pays for."""
        skipped = 0
        with stage_progress("label", len(pairs), "pairs") as advance:
            for shard in batches(pairs, self._config.pairs_per_shard):
                showings = self._open_showings(shard)
                try:
                    opinions: Sequence[Opinion | None] = self._labeller.label([_shown(one) for one in showings])
                except (BudgetExhaustedError, JudgeServerError) as error:
                    self._store(showings, error.opinions)
                    if isinstance(error, JudgeServerError):
                        raise
                    say(f"{error}; the same command again spends as much on the pairs that are left")
                    break
                self._store(showings, opinions)
                skipped += sum(opinion is not None and opinion.verdict == "skip" for opinion in opinions)
                advance(len(shard))
        if skipped:
            say(f"{skipped:,} pairs have nothing that {self._labeller.identity.name} could go by")

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


def _shown(showing: Showing) -> ShownPair:
    return showing.text.shown(showing.left_response_id)


def _open(sessions: sessionmaker[Session], config: LabelConfig, version: str) -> int:
    with sessions.begin() as session:
        labelled_run_id = runs.find_run(session, config.pairs.run)
        # `last` is another run tomorrow: what is stored and taken up again names the run.
        pairs = config.pairs.model_copy(update={"run": str(labelled_run_id)})
        config = config.model_copy(update={"pairs": pairs})
        run_pairs(session, config)
        run_id = runs.find_unfinished(session, config.key)
        if run_id is not None:
            runs.set_status(session, run_id, runs.RUNNING)
            say(f"taking up run {run_id}, which did not finish")
            return run_id
        return runs.open_run(
            session,
            name=config.name,
            config=config.model_dump(mode="json"),
            config_key=config.key,
            code_version=version,
            labelled_run_id=labelled_run_id,
        )
