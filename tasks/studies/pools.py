"""What a curation run holds that a study can learn from and test on: candidates, what is known of them, labels.

Knows no strategy and no learner.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from db import embeddings, prompts, responses
from db.embeddings import EmbedderRecord
from db.engine import Session, Sessions
from db.findings.prompts import left_out_prompts
from db.labels import judgements, preferences, standing
from db.studies.scores import scores_of
from models.demo.parser import utility
from models.labelling.records import Outcome, PairKey
from models.labelling.rules import STANDING_RULE, resolve
from models.records import VectorLocation
from models.selection import MAX_CANDIDATES
from models.studies.pool import LabelledPairs, Pool, pool_of
from tasks.curation.engines import vector_store
from tasks.runs import PROMPTS_PER_PAGE, prompt_pages
from tasks.settings import Settings

Truth = Literal["rubric", "scores"]

TOO_FEW = "fewer than two different responses with a vector"
TOO_MANY = f"more than {MAX_CANDIDATES} different responses, which selection does not take"
LEFT_OUT = "left out by the run (nearly the same as another, or as a benchmark's)"


@dataclass(frozen=True, slots=True)
class StudyPool:
    """A run's candidates as a study sees them; group i of the pool is prompt i.

    Attributes:
        pool: the arrays.
        prompt_ids: (g,) of its groups.
        response_ids: (n,) of its rows.
        truth: where its utilities come from; None where nothing is known of single responses.
        left_out: prompts of the run that are not in it: why → how many.
        embedder: whose vectors they are.
    """

    pool: Pool
    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    truth: Truth | None
    left_out: Mapping[str, int]
    embedder: EmbedderRecord


class _Candidates:
    """What is read of a run, page by page, in the order of prompts and responses."""

    def __init__(self) -> None:
        self.locations: list[VectorLocation] = []
        self.lengths: dict[int, int] = {}
        self.dialogues: dict[int, str] = {}
        self.utilities: dict[int, float] | None = {}
        self.left_out: Counter[str] = Counter()


def read_pool(sessions: Sessions, run_id: int, settings: Settings, *, annotators: Collection[str] = ()) -> StudyPool:
    """The candidates of a curation run that its strategies could have paired, and what is known of them.

    Left out are the prompts and responses that the run itself leaves out (the guard's too), and prompts with fewer than
    two different responses. A response without a score has no utility.

    Args:
        sessions: of the database.
        run_id: a curation.
        settings: where its vectors are.
        annotators: names of those whose labels count; empty: all.

    Raises:
        LookupError: If the run has embedded nothing, or there is no annotator of a name.
        BrokenShardError: If a vector is missing or damaged.
    """
    with sessions() as session:
        embedder = embeddings.embedder_of_run(session, run_id)
        annotator_ids = judgements.find_annotators(session, list(annotators)) if annotators else None
    found = _Candidates()
    for page in prompt_pages(sessions, run_id, PROMPTS_PER_PAGE):
        with sessions() as session:
            _read_page(session, run_id, embedder.id, [prompt.id for prompt in page], found)
    truth = _settle_truth(sessions, found)
    locations = _in_groups(found)
    ids = [location.response_id for location in locations]
    with sessions() as session:
        labels = labels_between(session, ids, annotator_ids=annotator_ids)
    return StudyPool(
        pool=_arrays(locations, found, labels, embedder, settings),
        prompt_ids=tuple(dict.fromkeys(location.prompt_id for location in locations)),
        response_ids=tuple(ids),
        truth=truth,
        left_out=dict(found.left_out),
        embedder=embedder,
    )


def labels_between(
    session: Session, response_ids: Sequence[int], *, annotator_ids: Collection[int] | None = None
) -> dict[PairKey, tuple[float, int]]:
    """The labelled pairs among these responses: share of the votes for the first, and how many votes there are.

    A majority's support is the share; whatever prefers no side (a tie, a contradiction, both bad) is one half.

    Args:
        session: of the database.
        response_ids: both of a pair are among them.
        annotator_ids: whose votes count; None: all.
    """
    known = set(response_ids)
    pairs = sorted(pair for pair in standing.pairs_with_preference(session, response_ids) if set(pair) <= known)
    if annotator_ids is None:
        stored = preferences.preferences_of(session, STANDING_RULE, pairs)
        return {pair: (_share(one.outcome, one.support), one.vote_count) for pair, one in sorted(stored.items())}
    found = {}
    for pair, votes in sorted(preferences.votes(session, pairs, of=sorted(annotator_ids)).items()):
        if (resolved := resolve(votes, STANDING_RULE, model=None)) is not None:
            found[pair] = (_share(*resolved), len(votes))
    return found


def _share(outcome: Outcome, support: float) -> float:
    return {"first": support, "second": 1 - support}.get(outcome, 0.5)


def _read_page(session: Session, run_id: int, embedder_id: int, prompt_ids: list[int], found: _Candidates) -> None:
    left_out = left_out_prompts(session, run_id, prompt_ids)
    found.left_out[LEFT_OUT] += len(left_out)
    ids = [id_ for id_ in prompt_ids if id_ not in left_out]
    locations = embeddings.vector_locations(session, run_id, embedder_id, ids)
    response_ids = [location.response_id for location in locations]
    found.left_out[TOO_FEW] += len(set(ids) - {location.prompt_id for location in locations})
    found.locations += locations
    found.lengths |= responses.text_lengths(session, response_ids)
    found.dialogues |= prompts.first_turns(session, ids)
    if found.utilities is not None:
        told = _rubric(session, run_id, ids, response_ids)
        found.utilities = None if told is None else found.utilities | told


def _rubric(
    session: Session, run_id: int, prompt_ids: list[int], response_ids: Iterable[int]
) -> dict[int, float] | None:
    """The true utility of each response, as the rubric at temperature 0 sees it; None outside the demo world."""
    texts = responses.candidate_texts(session, run_id, prompt_ids)
    kept, told = set(response_ids), dict[int, float]()
    for prompt in prompts.stored_prompts(session, [id_ for id_ in prompt_ids if id_ in texts]):
        try:
            told |= {id_: utility(prompt.prompt.text, text) for id_, text in texts[prompt.id] if id_ in kept}
        except ValueError:  # no prompt of the demo world
            return None
    return told


def _settle_truth(sessions: Sessions, found: _Candidates) -> Truth | None:
    """Where utilities come from: scores, outside the demo world, if any two of a prompt have one."""
    if found.utilities:
        return "rubric"
    with sessions() as session:
        scores = scores_of(session, [location.response_id for location in found.locations])
    by_prompt = Counter(location.prompt_id for location in found.locations if location.response_id in scores)
    is_told = any(count > 1 for count in by_prompt.values())
    found.utilities = scores if is_told else None
    return "scores" if is_told else None


def _in_groups(found: _Candidates) -> list[VectorLocation]:
    """The candidates of prompts that have at least two and no more than selection takes."""
    sizes = Counter(location.prompt_id for location in found.locations)
    found.left_out[TOO_FEW] += sum(size < 2 for size in sizes.values())
    found.left_out[TOO_MANY] += sum(size > MAX_CANDIDATES for size in sizes.values())
    found.left_out = Counter({why: count for why, count in found.left_out.items() if count})
    return [location for location in found.locations if 2 <= sizes[location.prompt_id] <= MAX_CANDIDATES]


def _arrays(
    locations: Sequence[VectorLocation],
    found: _Candidates,
    labels: Mapping[PairKey, tuple[float, int]],
    embedder: EmbedderRecord,
    settings: Settings,
) -> Pool:
    rows = {location.response_id: row for row, location in enumerate(locations)}
    sizes = Counter(location.prompt_id for location in locations)
    store = vector_store(embedder.key, settings)
    places = [location.shard for location in locations], [location.row for location in locations]
    vectors = store.gather(*places) if locations else np.empty((0, 1), dtype=np.float16)
    utilities = found.utilities
    labelled = LabelledPairs(
        rows=np.array([[rows[first], rows[second]] for first, second in labels], dtype=np.int64).reshape(-1, 2),
        shares=np.array([share for share, _ in labels.values()], dtype=np.float64),
        votes=np.array([count for _, count in labels.values()], dtype=np.int64),
    )
    return pool_of(
        vectors,
        np.cumsum([0, *sizes.values()], dtype=np.int64),
        np.array([found.lengths[id_] for id_ in rows], dtype=np.int64),
        np.array([_number(found.dialogues[prompt_id]) for prompt_id in sizes], dtype=np.int64),
        utilities=None if utilities is None else np.array([utilities.get(id_, math.nan) for id_ in rows]),
        labelled=labelled if labels else None,
    )


def _number(first_turn_key: str) -> int:
    """A number of what the user says first: the same in every pool, so that who is held out does not change."""
    return int(first_turn_key[:15], 16)
