"""A study's policies by MT-Bench's or Arena-Hard's protocol (ASFT table 2), beside the model that all begin with.

Reads of an outcome's figures `questions`, with `protocol`, `score` and `unread`, and of MT-Bench's `turns` and
`categories`; the start's among `start_scores`, where it has any. Knows no judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from models.studies.findings import Section, Table
from models.studies.policy_arms import over_seeds
from models.studies.trials import Outcome


class _Scale(NamedTuple):
    title: str
    unit: str
    digits: int
    least: float
    most: float


_SCALES = {
    "mt_bench": _Scale("Grades by MT-Bench’s protocol (as ASFT table 2)", "Grade, 1 to 10", 2, 1, 10),
    "arena_hard": _Scale("Win rate by Arena-Hard’s protocol (as ASFT table 2)", "Win rate, percent", 1, 0, 100),
}
_START = "the fine-tuned model"

Arms = Mapping[str, Sequence[Outcome]]
Scored = Mapping[str, Any]


def question_sections(arms: Arms, control: str) -> list[Section]:
    """Scores of every arm and their differences to the control, no section where no question was asked."""
    first = arms[control][0].figures
    if "questions" not in first:
        return []
    start = first["start_scores"].get("questions")
    scale = _SCALES[first["questions"]["protocol"]]
    rows = [] if start is None else [(_START, _number(start["score"], scale), "–", f"{start['unread']}")]
    for arm, of_arm in arms.items():
        unread = sum(one.figures["questions"]["unread"] for one in of_arm)
        difference = "–" if arm == control else _difference(of_arm, arms[control], scale)
        rows.append((arm, _mean(of_arm, ("score",), scale), difference, f"{unread:,}"))
    note = (
        "Means over seeds [95 %], differences paired by seed, not corrected. The intervals speak of other trainings, "
        "not of other questions or another judge."
    )
    columns = ("Arm", "Score", f"− {control}", "Verdicts that could not be read")
    turns = {f"Turn {at + 1}": ("turns", at) for at in range(len(first["questions"].get("turns", ())))}
    categories = {name: ("categories", name) for name in first["questions"].get("categories", ())}
    parts = [_part(arms, start, paths, scale) for paths in (turns, categories) if paths]
    return [Section(scale.title, tables=(Table(scale.unit, columns, tuple(rows), note=note), *parts))]


def _part(arms: Arms, start: Scored | None, paths: Mapping[str, tuple[Any, ...]], scale: _Scale) -> Table:
    """MT-Bench's grades by turn, or by category."""
    rows = [] if start is None else [(_START, *(_number(_at(start, path), scale) for path in paths.values()))]
    rows += [(arm, *(_mean(of_arm, path, scale) for path in paths.values())) for arm, of_arm in arms.items()]
    return Table("Grades by " + next(iter(paths.values()))[0], ("Arm", *paths), tuple(rows))


def _mean(outcomes: Sequence[Outcome], path: tuple[Any, ...], scale: _Scale) -> str:
    values = [value for one in outcomes if (value := _at(one.figures["questions"], path)) is not None]
    return f"{over_seeds(values).within(scale.least, scale.most):.{scale.digits}f}" if values else "–"


def _at(scored: Scored, path: tuple[Any, ...]) -> float | None:
    """The value under these keys."""
    value: Any = scored
    for key in path:
        value = value[key]
    return None if value is None else float(value)


def _difference(outcomes: Sequence[Outcome], control: Sequence[Outcome], scale: _Scale) -> str:
    """The mean difference to the control's score under the same seed."""
    of_control = {one.trial.seed: one.figures["questions"]["score"] for one in control}
    pairs = [(one.figures["questions"]["score"], of_control[one.trial.seed]) for one in outcomes]
    differences = [one - other for one, other in pairs if one is not None and other is not None]
    return f"{over_seeds(differences):+.{scale.digits}f}" if differences else "–"


def _number(value: float | None, scale: _Scale) -> str:
    return "–" if value is None else f"{value:.{scale.digits}f}"
