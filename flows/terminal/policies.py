"""What the commands of alignment print. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING

from flows.terminal.pager import paged
from flows.terminal.tables import make_console, print_rows
from models.guide import NO_COUPLE, GuideCheck
from models.report.policy_contents import EvaluationFigures, Gate, PolicyContents, Rate
from models.report.policy_page import kl_lines, nothing_learnt
from tasks.reports.policy_queries import PolicyLine, evaluation_end, policy_contents, policy_page_path
from tasks.settings import Settings
from tasks.terminal import show

if TYPE_CHECKING:
    from models.protocols.scores import ArenaHardSummary, MtBenchSummary


def show_policy(policy_id: int, settings: Settings) -> None:
    """Print how an alignment ended: the policy's figures, who won, what the gate says, what to do next."""
    contents = policy_contents(policy_id, settings)
    show(f"policy {policy_id}: {contents.name}, {contents.method}, from {contents.base_model}")
    show(f"  held out: {contents.measured_on}")
    ends = _ends(contents)
    if "margin" in ends:
        rewards = (f"{name} {ends[name]}" for name in ("margin", "loss", "accuracy"))
        show(f"  held out, mean over prompts: {', '.join(rewards)}")
    if learnt := nothing_learnt(contents):
        show(f"  learnt: {learnt}")
    if "perplexity" in ends:
        show(f"  held out, per token: perplexity {ends['perplexity']}")
    for line in kl_lines(contents.kl):
        show(f"  {line}")
    for figures in contents.evaluations[:1]:
        show(f"  {_rate_line(figures)}")
    if contents.text_scores:
        show("  as texts, against the chosen responses")
    for score in contents.text_scores:
        show(f"    {score.policy:5.1f}  {score.name}")
    if contents.guide is not None:
        show(f"  {_guide_line(contents.guide)}")
    if contents.cost is not None:
        cost = contents.cost
        show(f"  trained in {cost.seconds:,.0f} s, peak memory {cost.peak_memory_mb:,.0f} MB")
    if contents.gate:
        show(f"  gate: {contents.gate.words}")
    show(f"Page  {policy_page_path(policy_id, settings).resolve()}")
    decides = [] if contents.gate is None else _deciding(policy_id, contents.gate)
    show("Next: " + "\n      ".join([*decides, f"antipode curate --model.name policy:{policy_id}"]))


def show_evaluation(evaluation_id: int, settings: Settings) -> None:
    """Print the result of a comparison."""
    evaluation, figures, gate = evaluation_end(evaluation_id, settings)
    if figures is None:
        models = f"policy {evaluation.policy_id} against {evaluation.baseline}"
        show(f"evaluation {evaluation_id} of {models}: nobody compared yet")
        show(f"Next: antipode web --evaluation {evaluation_id}, then the same command again")
        return
    show(f"policy {evaluation.policy_id}: {_rate_line(figures)}")
    show(f"  gate: {gate.words}")
    for line in _deciding(evaluation.policy_id, gate):
        show(f"Next: {line}")


@paged()
def show_policies(lines: Sequence[PolicyLine]) -> None:
    """Print the policies as a table."""
    if not lines:
        show("no policies yet; train one: antipode align --help")
        return
    rows = []
    for line in lines:
        policy = line.policy
        figures = line.comparison
        compared = ("", "", "", "", "", "") if figures is None else (
            figures.baseline, _interval(figures.rate), f"{figures.prompt_count:,}", _seed(figures), _date(figures),
            "" if figures.look is None else str(figures.look.number),
        )  # fmt: skip
        status = "in use" if line.is_in_use else policy.status
        rows.append((
            str(policy.id), policy.name, policy.method, str(policy.round), status, policy.start_model,
            "" if policy.snapshot_id is None else str(policy.snapshot_id), f"{policy.created_at:%Y-%m-%d}", *compared,
        ))  # fmt: skip
    comparison = ("against", "win rate", "prompts", "seed", "compared", "look")
    columns = ("policy", "name", "method", "round", "status", "from", "snapshot", "created", *comparison)
    print_rows(make_console(), columns, rows, text_columns=9)
    if words := _different_prompts(lines):
        show(words)


def show_protocol(summary: MtBenchSummary | ArenaHardSummary) -> None:
    """Print the scores of a question file."""
    from models.protocols.scores import ArenaHardSummary

    if isinstance(summary, ArenaHardSummary):
        score = "none" if summary.score is None else _interval(Rate(*summary.score))
        show(f"win rate by Arena-Hard's protocol: {score} %; games without a verdict: {summary.unread_games}")
        show("  " + ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in summary.verdicts.items()))
        return
    overall = "none" if summary.overall is None else _interval(Rate(*summary.overall))
    show(f"grade by MT-Bench's protocol: {overall}; answers without a grade: {summary.unread_grades}")
    turns = [(f"turn {number}", grade) for number, grade in enumerate(summary.turns, start=1)]
    for name, grade in [*turns, *summary.categories.items()]:
        show(f"  {name}: {'none' if grade is None else _interval(Rate(*grade))}")


def show_benchmarks(results: Mapping[str, Mapping[str, float]]) -> None:
    """Print what lm-eval measured."""
    for task, metrics in results.items():
        show(f"{task}: " + ", ".join(f"{name} {value:.4f}" for name, value in metrics.items()))


def _different_prompts(lines: Sequence[PolicyLine]) -> str | None:
    """Which win rates are of the same prompts, and what compares two others; None where all are."""
    groups: dict[frozenset[int], list[int]] = {}
    for line in lines:
        if line.comparison is not None:
            groups.setdefault(line.prompt_ids, []).append(line.policy.id)
    if len(groups) < 2:
        return None
    told = " | ".join(", ".join(map(str, ids)) for ids in groups.values())
    one, other, *_ = (ids[0] for ids in groups.values())
    return (
        f"Win rates are of the same prompts within a group only: {told}. "
        f"Two on the same: antipode evaluate {one} --against policy:{other}"
    )


def _guide_line(guide: GuideCheck) -> str:
    """What the guide was found to do, on one line."""
    parts = [f"guide from {guide.base or 'scratch'}"]
    if guide.gain is not None:
        parts.append(
            f"loss {guide.own_loss:.3f} with a text's own h, {guide.other_loss:.3f} with another's "
            f"({_interval(Rate(*guide.gain))} more)"
        )
    if guide.length_correlation is not None:
        parts.append(f"distance and length difference correlate {guide.length_correlation:.2f}")
    if guide.farther_is_worse is None:
        parts.append(NO_COUPLE)
    else:
        share = _interval(Rate(*guide.farther_is_worse))
        parts.append(f"the farther is the worse in {share} of {guide.couple_count:,} labelled couples")
    return ", ".join(parts)


def _rate_line(figures: EvaluationFigures) -> str:
    line = (
        f"against {figures.baseline} by {figures.annotator}: win {figures.win}, tie {figures.tie}, lose {figures.lose} "
        f"on {figures.prompt_count} prompts (seed {_seed(figures)}, {_date(figures)}), "
        f"win rate {_interval(figures.rate)}"
    )
    if figures.length_controlled is not None:
        line += f", at equal length {_interval(figures.length_controlled)}"
    if figures.look is not None:
        line += f", gate interval {figures.look.words}"
    return line


def _deciding(policy_id: int, gate: Gate) -> list[str]:
    """What puts the policy into use if the gate let it pass, else what would decide; nothing for one in use."""
    if gate.verdict == "passed":
        return [f"antipode promote {policy_id}"]
    step = gate.next_step
    return [] if step is None else [f"{step.command}   # {step.purpose}"]


def _seed(figures: EvaluationFigures) -> str:
    return "–" if figures.seed is None else str(figures.seed)


def _date(figures: EvaluationFigures) -> str:
    return f"{figures.compared_at:%Y-%m-%d}"


def _interval(rate: Rate) -> str:
    return f"{rate.value:.3f} [{rate.low:.3f}, {rate.high:.3f}]"


def _ends(contents: PolicyContents) -> dict[str, str]:
    """The figures at the end of training, with their intervals where the evaluation has measured them."""
    if contents.held_out is None:
        return {name: f"{value:.3f}" for name, value in contents.metrics.items()}
    return {
        name: _interval(Rate(*interval)) if all(map(isfinite, interval)) else f"{interval.value:.3f}"
        for name, interval in contents.held_out.intervals.items()
        if isfinite(interval.value)
    }
