"""What the distance of an LD-Align run's guide means on prompts that are only measured on (LD-Align section 5.2)."""

from __future__ import annotations

from typing import NamedTuple

from db.latent_distances import distances_of
from db.samples import Sample, references
from models.evaluation.text_scores import text_scores
from models.exchange import PreferenceRow
from models.judging.closeness import Near, closer
from tasks.alignment.data import AlignmentAtWork, alignment_at_work, is_held_out
from tasks.alignment.guides import guided_distances
from tasks.alignment.lineage import left_to_measure, lineage_of
from tasks.alignment.rounds import golden_pairs
from tasks.alignment.samples import comparison_samples
from tasks.budgets import budget_of
from tasks.config.exchange import PreferencesConfig
from tasks.config.rounds import LdAlignConfig
from tasks.config.studies import StudyConfig
from tasks.curation.choices import chosen_prompts
from tasks.database import open_database
from tasks.errors import BudgetUsedUpError
from tasks.evaluation.comparison import ComparedPair, pair_scores
from tasks.labels.exchange import preferences_now
from tasks.labels.labellers import make_asker
from tasks.labels.labelling import DatabaseReplies, judge_batching, judge_with
from tasks.named_models import policy_id_of
from tasks.run_kinds import ALIGNMENT_IN_ROUNDS
from tasks.settings import Settings
from tasks.studies.trainings import Figures


class Couple(NamedTuple):
    """Two samples of the model that the rounds began with, and the golden response to their prompt."""

    golden: Sample
    first: Sample
    second: Sample


class Couples(NamedTuple):
    """The couples, and of how many prompts none came: without a golden response, or of two equal samples."""

    found: list[Couple]
    without_golden: int
    equal: int


def check_golden(config: StudyConfig, settings: Settings) -> None:
    """Refuse prompts to compare on of which none has a golden response: nothing could be held against one.

    Args:
        config: with its run and model by lasting names.
        settings: where everything is.

    Raises:
        NothingToDoError: If the study trains on all of them, or the model was trained on them.
        ValueError: If neither a reference of `evaluate.source` nor a held-out preference is of its prompts.
    """
    source = config.evaluate.source
    if source.name is None and source.split is None:
        return  # the chosen responses of the held-out preferences
    with open_database(settings) as sessions, sessions() as session:
        preferences = PreferencesConfig(run=config.data.run, annotators=config.data.annotators)
        parts: dict[bool, list[PreferenceRow]] = {False: [], True: []}
        for row in preferences_now(session, preferences):
            parts[is_held_out(row.prompt, row.split, config.data.held_out_share)].append(row)
        lineage = lineage_of(session, [policy_id_of(session, config.model.name)])
        lineage = lineage.and_own(row.prompt for row in parts[False])
        named = chosen_prompts(session, source.model_copy(update={"limit": None}))
        prompt_ids = {one.id for one in left_to_measure(session, named, lineage, source.limit).prompts}
        if prompt_ids.intersection(row.prompt_id for row in parts[True]) or references(session, sorted(prompt_ids)):
            return
    raise ValueError(
        f"study ld-align holds samples against golden responses, and none of the {len(prompt_ids):,} prompts of "
        f"{source.name or source.split} has one; import its references (antipode import FILE --format sft), or leave "
        "out --evaluate.source: the chosen responses of held-out preferences are golden then"
    )


def latent_figures(run_id: int) -> Figures:
    """The distances of the first round's pairs, and of two samples a prompt their distances and which is better.

    Couples of equal texts are left out, and prompts without a golden response: a reference, or the chosen response of a
    held-out preference. Both are counted. `scores`, `closer`, `overlaps` and `length_nearness` are pairs of values, the
    larger the better: the annotator's; whose is closer to the golden response by the judge, if one compares; ROUGE-L
    with the golden response; and minus the difference in characters.
    """
    with alignment_at_work(run_id, ALIGNMENT_IN_ROUNDS.load_config) as run:
        couples, without_golden, equal = _couples(run)
        pairs = [(one.golden, sample) for one in couples for sample in (one.first, one.second)]
        distances = guided_distances(run, pairs, run.base, golden_pairs(run, run.base)).tolist()
        scores, closeness = _scores(run, couples), _closeness(run, couples)
        with run.sessions() as session:
            stored = [row.distance for row in distances_of(session, run_id, 1)]
    return {
        "distances": [round(distance, 5) for distance in stored],
        "couples": [
            {
                "prompt": couple.golden.prompt_id,
                "distances": distances[2 * at : 2 * at + 2],
                "scores": _both(scores[at]),
                "closer": _both(closeness[at]),
                "overlaps": [_overlap(couple.golden, one) for one in couple[1:]],
                "length_nearness": [-abs(len(one.text) - len(couple.golden.text)) for one in couple[1:]],
            }
            for at, couple in enumerate(couples)
        ],
        "without_golden": without_golden,
        "equal": equal,
    }


def _couples(run: AlignmentAtWork[LdAlignConfig]) -> Couples:
    by_prompt: dict[int, list[Sample]] = {}
    for sample in comparison_samples(run, run.base):
        by_prompt.setdefault(sample.prompt_id, []).append(sample)
    assert run.data.golden is not None  # a run in rounds has them
    with run.sessions() as session:
        golden = {one.prompt_id: one for one in references(session, sorted(by_prompt))}
    golden |= {one.prompt_id: one for one in run.data.golden.held_out}
    couples = [
        Couple(golden[prompt_id], *samples[:2])
        for prompt_id, samples in by_prompt.items()
        if prompt_id in golden and len(samples) > 1
    ]
    found = [one for one in couples if one.first.text != one.second.text]
    return Couples(found, len(by_prompt.keys() - golden.keys()), len(couples) - len(found))


def _both(score: float | None) -> list[float] | None:
    return None if score is None else [score, 1 - score]


def _scores(run: AlignmentAtWork[LdAlignConfig], couples: list[Couple]) -> list[float | None]:
    """Of each couple the first sample's score against the second: 1, 0.5, 0, or None."""
    pairs = [ComparedPair(couple.first, couple.second) for couple in couples]
    labelling = run.config.evaluate.labelling(run.config.seed)
    annotator_id, is_complete = judge_with(run, labelling, list(dict.fromkeys(pair.key for pair in pairs)))
    if not is_complete:
        raise BudgetUsedUpError("the couples are not all judged; verdicts are kept, the same command goes on")
    return pair_scores(run, pairs, annotator_id)


def _closeness(run: AlignmentAtWork[LdAlignConfig], couples: list[Couple]) -> list[float | None]:
    """Of each couple the first sample's score by a judge asked which is closer to the golden response."""
    if run.config.evaluate.annotator != "judge":
        return [None] * len(couples)
    judge = run.config.evaluate.judge
    asker = make_asker(
        judge,
        run.settings,
        replies=DatabaseReplies(run),
        budget=budget_of(run, judge),
        batching=judge_batching(run, judge),
    )
    near = [Near(one.golden.prompt, one.golden.text, one.first.text, one.second.text) for one in couples]
    found = closer(asker, near)
    if found.stop is not None:
        raise BudgetUsedUpError(
            f"not every couple was held against its golden response: {found.stop.reason}; replies are kept, the same "
            "command goes on"
        )
    return found.scores


def _overlap(golden: Sample, sample: Sample) -> float | None:
    return text_scores([sample.text], [golden.text]).token_rouge_l
