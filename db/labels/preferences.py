"""Preferences: what a rule makes of the judgements on a pair, kept up to date. Sessions first, no commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, aliased

from db.engine import batches, insert_new, take_turn
from db.labels.judgements import annotators, by_showing, judgements_on, rows_about
from db.pairs import labels_changed
from db.schema import curation, labels, teams
from db.statements.among import among
from models.labelling.dawid_skene import VoteModel
from models.labelling.records import PairKey, Preference
from models.labelling.rules import STANDING_RULE, Rule, mean_strength, resolve
from models.labelling.votes import VOTES, Vote, annotator_vote
from models.quality.records import AnnotatorJudgement

BATCH = 5_000
_VALUES = ("outcome", "support", "vote_count", "strength", "updated_at")  # what a recomputation may change


@dataclass(frozen=True, slots=True)
class Changes:
    """How many preferences a recomputation made, changed and took away."""

    new: int = 0
    changed: int = 0
    removed: int = 0

    def __add__(self, other: Changes) -> Changes:
        """The sum of two recomputations."""
        return Changes(self.new + other.new, self.changed + other.changed, self.removed + other.removed)


class Preferred(NamedTuple):
    """Two responses to a prompt, one of which is preferred. `is_…_cut`: its sampling stopped at the token limit."""

    prompt_id: int
    better: str
    is_better_cut: bool
    worse: str
    is_worse_cut: bool


def votes(
    session: Session, pairs: Sequence[PairKey], *, of: Sequence[int] | None = None
) -> dict[PairKey, dict[int, Vote]]:
    """The votes on these pairs by annotator, of all annotators unless ids are given; pairs without a vote left out.

    What an annotator said in a calibration measures it, and is no vote.
    """
    return _votes_of(session, judgements_on(session, pairs), of)


def strengths(judgements: Iterable[AnnotatorJudgement]) -> dict[PairKey, dict[int, float]]:
    """How strongly annotators prefer a response of a pair, by annotator; the mean of their showings where several say.

    Pairs and annotators of which nothing is said are left out.
    """
    by_pair: dict[PairKey, dict[int, list[float]]] = {}
    for judgement in judgements:
        if judgement.strength is not None:
            of_pair = by_pair.setdefault(judgement.pair, {})
            of_pair.setdefault(judgement.annotator_id, []).append(judgement.strength)
    return {pair: {id_: fmean(values) for id_, values in of_pair.items()} for pair, of_pair in by_pair.items()}


def recompute(
    session: Session,
    pairs: Sequence[PairKey],
    *,
    rule: Rule = STANDING_RULE,
    of: Sequence[int] | None = None,
    model: VoteModel | None = None,
    name: str | None = None,
) -> Changes:
    """Bring the preferences of these pairs up to date with their judgements.

    Args:
        session: The transaction that stored or took back judgements.
        pairs: Whose judgements came or went.
        rule: How votes become a preference.
        of: The annotators whose votes count; None: all.
        model: What all votes say of each annotator, for the rule `weighted`.
        name: What the preferences are stored under; None: the rule's own name.
    """
    # A concurrent change of the same pair is seen here, or sees this one.
    take_turn(session, labels.Preference.__tablename__)
    total = Changes()
    for batch in batches(dict.fromkeys(pairs), BATCH):
        preferences = []
        judgements = judgements_on(session, batch)
        strengths_by_pair, decisions = strengths(judgements), _decisions(session, batch, of)
        for pair, by_annotator in _votes_of(session, judgements, of).items():
            resolved = resolve(by_annotator, rule, model=model, decision=decisions.get(pair))
            if resolved is not None:
                outcome, support = resolved
                strength = mean_strength(by_annotator, strengths_by_pair.get(pair, {}), outcome)
                preferences.append(Preference(pair, outcome, support, len(by_annotator), strength))
        total += _store(session, name or rule, batch, preferences)
    return total


def preferences_of(session: Session, rule: str, pairs: Sequence[PairKey]) -> dict[PairKey, Preference]:
    """The stored preferences of these pairs under a rule."""
    table = labels.Preference
    columns = (table.outcome, table.support, table.vote_count, table.strength)
    rows = rows_about(session, table, pairs, *columns, where=table.rule == rule)
    return {pair: Preference(pair, *values) for pair, *values in rows}


def preferred_responses(session: Session, rule: str, prompt_ids: Sequence[int]) -> Iterator[Preferred]:
    """Stream the decisive preferences on responses to these prompts under a rule, batch by batch of the prompts."""
    table, first, second = labels.Preference, aliased(curation.Response), aliased(curation.Response)
    query = (
        select(first.prompt_id, table.outcome, first.text, first.is_cut, second.text, second.is_cut)
        .join(table, table.first_response_id == first.id)
        .join(second, second.id == table.second_response_id)
        .where(table.rule == rule, table.outcome.in_(["first", "second"]))
        .order_by(first.prompt_id, first.id, second.id)
    )
    for batch in batches(prompt_ids, BATCH):
        for prompt_id, outcome, *texts in session.execute(query.where(among(first.prompt_id, batch))):
            yield Preferred(prompt_id, *(texts if outcome == "first" else [*texts[2:], *texts[:2]]))


def outcome_counts(session: Session, rule: str, pairs: Sequence[PairKey]) -> dict[str, int]:
    """How many of these pairs have which outcome under a rule."""
    return dict(Counter(preference.outcome for preference in preferences_of(session, rule, pairs).values()))


def _decisions(session: Session, pairs: Sequence[PairKey], of: Sequence[int] | None) -> dict[PairKey, Vote]:
    """What was said last of each pair where contradictions are settled, by the annotators of these ids or all."""
    table = labels.Judgement
    is_settled = table.queue_id.in_(select(teams.Adjudication.queue_id)) & table.verdict.in_(VOTES)
    rows = rows_about(session, table, pairs, table.id, table.annotator_id, table.verdict, where=is_settled)
    return {pair: verdict for pair, _, annotator_id, verdict in sorted(rows) if of is None or annotator_id in of}


def _votes_of(
    session: Session, judgements: Iterable[AnnotatorJudgement], of: Sequence[int] | None
) -> dict[PairKey, dict[int, Vote]]:
    annotators_by_id = annotators(session, None if of is None else set(of))
    by_pair: dict[PairKey, dict[int, Vote]] = {}
    for pair, by_annotator in by_showing(judgements).items():
        for annotator_id, verdicts in by_annotator.items():
            if annotator_id not in annotators_by_id:
                continue
            vote = annotator_vote(verdicts, has_both_orders=annotators_by_id[annotator_id].has_both_orders)
            if vote is not None:
                by_pair.setdefault(pair, {})[annotator_id] = vote
    return by_pair


def _store(session: Session, rule: str, pairs: Sequence[PairKey], preferences: Sequence[Preference]) -> Changes:
    stored = preferences_of(session, rule, pairs)
    by_pair = {preference.pair: preference for preference in preferences}
    removed = [pair for pair in stored if pair not in by_pair]
    table = labels.Preference
    for first_id, second_id in removed:
        session.execute(delete(table).filter_by(rule=rule, first_response_id=first_id, second_response_id=second_id))
    different = [preference for preference in preferences if stored.get(preference.pair) != preference]
    rows = [
        {
            "rule": rule,
            "first_response_id": pair.first_response_id,
            "second_response_id": pair.second_response_id,
            "outcome": outcome,
            "support": support,
            "vote_count": vote_count,
            "strength": strength,
        }
        for pair, outcome, support, vote_count, strength in different
    ]
    if not stored:  # nobody else stores any meanwhile
        insert_new(session, table, rows)
    elif rows:
        insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
        statement = insert(table.__table__)  # type: ignore[arg-type]
        new_values = {name: statement.excluded[name] for name in _VALUES}
        key = ["rule", "first_response_id", "second_response_id"]
        session.connection().execute(statement.on_conflict_do_update(index_elements=key, set_=new_values), rows)
    if rule == STANDING_RULE:
        unlabelled = [pair for pair in pairs if pair not in by_pair]
        judged = {pair for (pair,) in rows_about(session, labels.Judgement, unlabelled)}
        labels_changed(session, different, {pair: pair in judged for pair in unlabelled})
    changed_count = sum(preference.pair in stored for preference in different)
    return Changes(len(different) - changed_count, changed_count, len(removed))
