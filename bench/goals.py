"""What the benchmarks are held to: a row a goal, read from what the programs beside this file wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent
BEGIN, END = "<!-- goals: made by `python -m bench` -->", "<!-- end of goals -->"

# The way to a figure in a JSON file: names, and of a list the values that its element must have.
Place = tuple[str | dict[str, Any], ...]


class Goal(NamedTuple):
    """One figure of one program: at least `must`, or at most where `is_most`. Of the unit " %" the file has a share.

    `size`: what the figure is of, by the names that stand beside it in the file; measured at another size it is none.
    """

    what: str
    against: str
    program: str
    place: Place
    must: float
    unit: str = " ×"
    is_most: bool = False
    size: tuple[str, int] | None = None


class Result(NamedTuple):
    """What came of a goal; `figure` is None where its program has not measured it."""

    what: str
    against: str
    program: str
    figure: float | None
    must: float
    unit: str
    is_most: bool

    @property
    def is_met(self) -> bool:
        """Whether it was measured, and is as good as it must be."""
        if self.figure is None:
            return False
        return self.figure <= self.must if self.is_most else self.figure >= self.must


def _selected(candidates: int, dimension: int = 768, *, is_half: bool = False) -> dict[str, Any]:
    return {"candidates": candidates, "dimension": dimension, "is_half": is_half}


_REAL = "REAL's function, a prompt at a time (our reconstruction)"
_BY_REAL = ("times_faster", "with_torch_a_pair")
_ST = "sentence-transformers"
_IMPORT, _CURATION, _PAIRS = ("import_prompts", 20_000), ("curate_prompts", 20_000), ("pairs", 80_000)
_MILLION, _DEMO = ("prompts", 125_000), ("prompts", 256)
_HEAD, _US = ("head", "128k float32"), "antipode"
_BY_ST = ("times_faster_than", "sentence_transformers")
GOALS = (
    Goal("select easy, hard, centroid: 4 of 768", _REAL, "selection", ("results", _selected(4), *_BY_REAL), 1000),
    Goal("… 8 of 768", _REAL, "selection", ("results", _selected(8), *_BY_REAL), 600),
    Goal("… 16 of 768", _REAL, "selection", ("results", _selected(16), *_BY_REAL), 120),
    Goal("… 64 of 768", _REAL, "selection", ("results", _selected(64), *_BY_REAL), 400),
    Goal("… 8 of 4096", _REAL, "selection", ("results", _selected(8, 4096), *_BY_REAL), 300),
    Goal("… 8 of 768, float16 map", _REAL, "selection", ("results", _selected(8, is_half=True), *_BY_REAL), 500),
    Goal("… 8 of 768", "what memory gives", "selection", ("results", _selected(8), "share_of_read"), 15, " %"),
    Goal("embed a window of responses, float32", _ST, "embedding", ("float32", "window", *_BY_ST), 2),
    Goal("… bfloat16", _ST, "embedding", ("bfloat16", "window", *_BY_ST), 2.4),
    Goal("embed a sorted corpus, bfloat16", _ST, "embedding", ("bfloat16", "sorted_corpus", *_BY_ST), 1.2),
    Goal(
        "embed a window, float32",
        "torch's product",
        "embedding",
        ("float32", "window", "product", "antipode"),
        85,
        " %",
    ),
    Goal(
        "import 20,000 prompts and responses, SQLite",
        "bare executemany",
        "database",
        ("now", "sqlite_ratio"),
        0.5,
        size=_IMPORT,
    ),
    Goal("… PostgreSQL", "COPY", "database", ("now", "postgresql_ratio"), 0.5, size=_IMPORT),
    Goal(
        "curate 20,000 × 8: beside the engines, a response",
        "",
        "database",
        ("now", "beside_ms"),
        0.12,
        " ms",
        True,
        _CURATION,
    ),
    Goal(
        "… memory, beside a tenth of the prompts",
        "",
        "database",
        ("now", "curate_memory_growth"),
        1.1,
        is_most=True,
        size=_CURATION,
    ),
    Goal("… time", "", "database", ("now", "curate_time_growth"), 10.5, is_most=True, size=_CURATION),
    Goal(
        "a million responses: slowest question of the labelling page or of a run's pairs, SQLite",
        "",
        "million",
        ("sqlite", "slowest_page_ms"),
        100,
        " ms",
        True,
        _MILLION,
    ),
    Goal("… PostgreSQL", "", "million", ("postgresql", "slowest_page_ms"), 100, " ms", True, _MILLION),
    Goal(
        "… `antipode runs`, beside its start, SQLite", "", "million", ("sqlite", "runs_ms"), 100, " ms", True, _MILLION
    ),
    *(
        Goal(f"{what}, {database}", "", "pairs_page", (database.lower(), place), 100, " ms", True, _MILLION)
        for what, place in (
            ("a million pairs: slowest page of a lead, CPU", "slowest_page_ms"),
            ("… slowest list of pairs (28 filters, 8 orders, deep pages), CPU", "slowest_pairs_ms"),
        )
        for database in ("SQLite", "PostgreSQL")
    ),
    Goal("start of `antipode curate`, CPU", "", "start", ("curate_s", "median"), 6, " s", True),
    Goal(
        "`align` of the demo: all but its work, of the wall clock",
        "",
        "alignment_overhead",
        ("align", "wall_overhead"),
        20,
        " %",
        True,
        _DEMO,
    ),
    Goal("… a round of `ld-align`", "", "alignment_overhead", ("ld_align", "wall_overhead"), 20, " %", True, _DEMO),
    Goal("DPO step", "TRL's DPOTrainer", "preference_step", ("times_faster_than_trl", "median"), 2.5),
    Goal("… difference of a loss", "TRL's", "preference_step", ("largest_loss_difference",), 1e-5, "", True),
    Goal("build an index from shards, on disk", "bare FAISS", "index", ("build_ratio",), 0.8),
    Goal("search, one query", "bare FAISS", "index", ("search_one_ratio",), 0.95),
    Goal("… 1,024 queries", "bare FAISS", "index", ("search_block_ratio",), 0.95),
    Goal("export 77,000 preferences, CPU", "", "database", ("now", "export_cpu_s"), 4, " s", True, _PAIRS),
    Goal("import-labels, 80,000, CPU", "", "database", ("now", "import_labels_cpu_s"), 5, " s", True, _PAIRS),
    Goal("pairs to Parquet, 80,000, CPU", "", "database", ("now", "pairs_cpu_s"), 3, " s", True, _PAIRS),
    Goal("… peak memory", "", "database", ("now", "pairs_peak_mb"), 120, " MB", True, _PAIRS),
    Goal(
        "log-probabilities, V = 128,000, peak", "full softmax", "logps", (*_HEAD, "peak_of_full", _US), 12.5, " %", True
    ),
    Goal("… time", "full softmax", "logps", (*_HEAD, "times_of_full", _US), 125, " %", True),
    Goal("embed on four Ray actors that share two cores", "the local engine", "ray_pool", ("embed", "throughput"), 0.9),
    Goal("… overhead", "the local engine", "ray_pool", ("embed", "overhead"), 10, " %", True),
    Goal(
        "sample on four Ray actors that share two cores",
        "the local engine",
        "ray_pool",
        ("generate", "throughput"),
        0.9,
    ),
    Goal("… overhead", "the local engine", "ray_pool", ("generate", "overhead"), 10, " %", True),
)


PROGRAMS = tuple(dict.fromkeys(goal.program for goal in GOALS))


def results() -> list[Result]:
    """What the programs' files say now of each goal."""
    return [
        Result(goal.what, goal.against, goal.program, _figure(goal), goal.must, goal.unit, goal.is_most)
        for goal in GOALS
    ]


def machines() -> dict[str, str | None]:
    """What each program's file names as the machine that it ran on."""
    files = {program: FOLDER / f"{program}.json" for program in PROGRAMS}
    return {program: _machine(json.loads(file.read_text())) for program, file in files.items() if file.exists()}


def _machine(found: Any) -> str | None:
    """The words for it, however deep they stand in a file."""
    if not isinstance(found, dict):
        return None
    named = (found.get(key) for key in ("machine", "processor", "cpu"))
    own = next((words for words in named if isinstance(words, str)), None)
    return own or next(filter(None, map(_machine, found.values())), None)


def table(rows: list[Result]) -> str:
    """The results as a table in Markdown."""
    lines = ["| what | against | came | must | met | on |", "|---|---|--:|--:|---|---|"]
    made_on = machines()
    for row in rows:
        came, met = "not measured", "open"
        if row.figure is not None:
            came, met = f"{_number(row.figure)}{row.unit}", "yes" if row.is_met else "no"
        bound = f"{'≤' if row.is_most else '≥'} {_number(row.must)}{row.unit}"
        lines.append(
            f"| {row.what} | {row.against} | {came} | {bound} | {met} | {_processor(made_on.get(row.program))} |"
        )
    return "\n".join(lines)


def _processor(machine: str | None) -> str:
    """Its name alone."""
    return (machine or "–").partition(",")[0].replace("(R)", "").removesuffix(" Processor")


def with_table(page: str, rows: list[Result]) -> str:
    """The page with the table between its marks made anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table(rows)}\n\n{END}{after}"


def _figure(goal: Goal) -> float | None:
    try:
        found = json.loads((FOLDER / f"{goal.program}.json").read_text())
        for part in goal.place:
            beside = found
            found = found[part] if isinstance(part, str) else next(row for row in found if part.items() <= row.items())
        if goal.size is not None and beside[goal.size[0]] != goal.size[1]:
            return None
    except (FileNotFoundError, KeyError, StopIteration):
        return None
    return float(found) * (100 if goal.unit == " %" else 1)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
