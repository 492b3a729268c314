"""What is killed: every act of the product that writes, on an installation that the acts before it made.

An act is what its command does, without the command line and Prefect's server; a page of prompts, a shard and a
transaction hold a handful of rows, so that there is much to be killed between.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alignment_world import MEASURED, QUICK, TINY_GUIDE
from curation_steps import configured
from page_visitor import Visitor
from sqlalchemy import text

from db.backups import BackupError, back_up, restore
from db.engine import make_engine
from db.labels import labelling
from db.migrations import downgrade, known_revisions, require_current, upgrade
from models.demo.corpus import demo_prompts, reference_response
from models.evaluation.text_scores import text_scores
from models.guard.languages import LanguageReader
from models.records import Prompt
from tasks.alignment.opening import open_align_run, open_ld_align_run
from tasks.alignment.rounds import train_round, weigh_round
from tasks.alignment.training import fine_tune, train_policy
from tasks.config.alignment import AlignConfig
from tasks.config.curation import CurateConfig, ModelConfig
from tasks.config.exchange import ExportConfig, ImportConfig, PairsConfig
from tasks.config.labels import LabelConfig
from tasks.config.rounds import LdAlignConfig
from tasks.curation import generation, ingestion, selection
from tasks.curation.embedding import embed
from tasks.curation.generation import generate
from tasks.curation.guard import guard
from tasks.curation.index import index
from tasks.curation.ingestion import import_source
from tasks.curation.opening import open_run
from tasks.curation.prompt_checks import check_prompts
from tasks.curation.selection import select
from tasks.curation.similar import similar_responses
from tasks.database import open_database
from tasks.evaluation.comparison import evaluate_policy
from tasks.evaluation.gate import pass_gate
from tasks.labels.exchange import export_pairs, export_preferences
from tasks.labels.label_import import import_labels
from tasks.labels.labelling import judge_pairs
from tasks.labels.opening import open_label_run
from tasks.labels.people import open_people_queue
from tasks.reports.run_page import write_run_report
from tasks.runs import alone_on, work_on
from tasks.settings import Settings

PROMPTS, K = 16, 3
CURATION = 1  # the first run
REQUESTS_UNDER_WAY = 4  # to the judge


@dataclass(frozen=True)
class Act:
    """One act.

    Attributes:
        name: of the act.
        run: does it, and does what is left of it when it is given again.
        prepare: changes the installation before, if it has to begin elsewhere than the act before ended.
        is_slow: whether it takes seconds, most of them in engines.
        waits: whether it waits for a database that went away; others stop, and are given again.
        is_aside: whether the next act begins where this one began.
        restored: makes of an empty installation what the act has written elsewhere, to be compared.
    """

    name: str
    run: Callable[[], None]
    prepare: Callable[[], None] | None = None
    is_slow: bool = False
    waits: bool = False
    is_aside: bool = False
    restored: Callable[[Path], None] | None = None


@dataclass(frozen=True)
class World:
    """What the acts find beside their installation: files, models, a judge, which counts the requests it had."""

    folder: Path
    model: str
    reward_model: str
    judge_url: str
    requests: Callable[[], int]


def make_rows_few() -> None:
    """Make transactions, pages and shards small."""
    ingestion.ROWS_PER_TRANSACTION = 5
    generation.PROMPTS_PER_PAGE = selection.PROMPTS_PER_PAGE = 6


def load_ahead() -> None:
    """Load here once what takes each act a second or two: it would do so anew, in a process of its own."""
    prompt = Prompt.from_text("Which of the two languages of this country is spoken in the north?")
    LanguageReader().strangeness(prompt, f"{prompt.text} It is the older of them.")
    text_scores(["a text of four words"], ["a text of some words"])


def write_files(folder: Path) -> None:
    """The files to import: pairs with a preferred side, references, scores, and rows that are refused."""
    texts = demo_prompts("train")[:PROMPTS]
    rows: list[dict[str, Any]] = [
        {"prompt": text, "chosen": reference_response(text), "rejected": "No."} for text in texts
    ]
    rows[3:3] = [{"prompt": "", "chosen": "x", "rejected": "y"}, {"prompt": 4}]
    _write(folder / "pairs.jsonl", rows)
    scored = [
        {
            "prompt": text,
            "responses": [{"response": reference_response(text), "score": 4.0}, {"response": "Hm.", "score": 1.0}],
        }
        for text in texts[:6]
    ]
    _write(folder / "scores.jsonl", scored)
    _write(folder / "references.jsonl", [{"prompt": text, "response": reference_response(text)} for text in texts[::2]])


def all_acts(world: World) -> list[Act]:
    """Every act, in the order in which each makes what the next begins with."""
    return [
        Act("import", lambda: _import(world), waits=True),
        Act("curate", _curate, waits=True, is_aside=True),
        Act("curate from a server", lambda: _curate_from(world), waits=True, is_aside=True),
        Act("generate", lambda: _step(generate.fn)),
        Act("embed", lambda: _step(embed.fn)),
        Act("index", lambda: _step(index.fn)),
        Act("check prompts", lambda: _step(check_prompts.fn)),
        Act("guard", lambda: _step(guard.fn)),
        Act("select", _curate, waits=True),
        Act("index and report", _look),
        *(Act(f"label: {name}", _labelling(name), waits=True) for name in ("rubric", "gold", "source", "scores")),
        Act("label: people", _people),
        Act("label: judge", _labelling("judge", judge=_judge(world)), waits=True),
        Act("label: reward model", _reward_labelling(world), is_slow=True, waits=True),
        Act("import labels", _import_labels),
        Act("export", _export, waits=True),
        Act("backup", _back_up, is_aside=True, restored=_restore),
        Act("restore", lambda: _restore(Settings().artifact_root), prepare=_backed_up_and_emptied, is_aside=True),
        Act("migrate", _upgrade, prepare=_downgraded, is_aside=True),
        Act("align", lambda: _align(world), is_slow=True, waits=True),
        Act("ld-align round", lambda: _ld_align(world), is_slow=True, waits=True),
    ]


def _import(world: World) -> None:
    for name in ("pairs", "references", "scores"):
        import_source(str(world.folder / f"{name}.jsonl"), ImportConfig(name=name), Settings())


def _curation(**generate: Any) -> CurateConfig:
    return configured(
        generate={"responses_per_prompt": K, "prompts_per_shard": 4, "when": "always"} | generate,
        embed={"responses_per_shard": 8},
        select={"strategies": ("easy", "hard", "centroid", "random")},
        source={"has_references": True},
    )


def _step(step: Callable[[int], None]) -> None:
    """One step of a run that stays unfinished."""
    run_id = open_run.fn(_curation())
    with alone_on(run_id):
        step(run_id)


def _curate() -> None:
    """All steps, as the flow does."""
    _carry_out(_curation())


def _curate_from(world: World) -> None:
    """The same with a server, one request at a time: responses are numbered as they come."""
    config = _curation(backend="openai", base_url=world.judge_url, concurrency=1, max_requests=10_000)
    _carry_out(config.model_copy(update={"model": ModelConfig(name="tiny")}))


def _carry_out(config: CurateConfig) -> None:
    run_id = open_run.fn(config)
    steps = (generate, embed, index, check_prompts, guard, select)
    work_on(run_id, lambda: [step.fn(run_id) for step in steps])


def _look() -> None:
    write_run_report(CURATION, Settings())
    similar_responses(1, 5, Settings())


def _labelling(annotator: str, **section: Any) -> Callable[[], None]:
    def label() -> None:
        config = LabelConfig.model_validate({
            "annotator": annotator,
            "pairs": {"run": str(CURATION)},
            "pairs_per_shard": 6,
            **section,
        })  # fmt: skip
        run_id = open_label_run.fn(config)
        work_on(run_id, lambda: judge_pairs.fn(run_id))

    return label


def _people() -> None:
    """Two people at the page; each verdict is by the pair, so that it is the same whenever it is given."""
    settings = Settings()
    config = LabelConfig.model_validate({"annotator": "people", "pairs": {"run": str(CURATION), "limit": 12}})
    queue_id = open_people_queue(config, settings)
    with open_database(settings) as sessions:
        for name in ("Ana", "Bo"):
            visitor = Visitor(sessions, name)
            while (content := visitor.content(queue_id))["progress"]["own_count"] < 5 and content["pair"]:
                pair = content["pair"]
                verdict = "left" if pair["left_id"] < pair["right_id"] else "right"  # the same for either side
                visitor.judge(queue_id, pair, verdict)


def _judge(world: World) -> dict[str, Any]:
    limits = {"concurrency": REQUESTS_UNDER_WAY, "max_requests": 10_000, "parse_retries": 0}
    return limits | {
        "base_url": world.judge_url,
        "model": "tiny",
        "concurrency": REQUESTS_UNDER_WAY,
        "parse_retries": 0,
        "max_requests": 10_000,
    }


def _reward_labelling(world: World) -> Callable[[], None]:
    section = {"name": world.reward_model, "dtype": "float32", "max_tokens": 500}
    return _labelling("reward_model", reward_model=section)


def _import_labels() -> None:
    settings = Settings()
    path = settings.artifact_root / "labels.jsonl"
    with open_database(settings) as sessions, sessions() as session:
        pairs = labelling.pair_keys(session, CURATION)
    verdicts = ("left", "right", "tie", "skip")
    _write(path, [
        {"left_response_id": pair[0], "right_response_id": pair[1], "annotator": name, "verdict": verdicts[place % 4]}
        for name in ("Ana", "Bo") for place, pair in enumerate(pairs)
    ])  # fmt: skip
    import_labels(path, None, settings)


def _export() -> None:
    settings = Settings()
    out = settings.artifact_root / "out"
    out.mkdir(exist_ok=True)
    for name in ("preferences.jsonl", "preferences.parquet"):
        export_preferences(out / name, ExportConfig(run=str(CURATION), rule="majority"), settings)
    export_pairs(out / "tasks.json", "label_studio", PairsConfig(run=str(CURATION)), seed=0, settings=settings)


def _align(world: World) -> None:
    train = QUICK | {"epochs": 2, "save_every": 2, "evaluate_every": 2}
    config = AlignConfig.model_validate({
        "model": {"name": world.model, "dtype": "float32"},
        "data": {"run": str(CURATION)},
        "sft": {"epochs": 0},
        "train": train,
        "evaluate": MEASURED,
    })  # fmt: skip
    run_id = open_align_run.fn(config)

    def steps() -> None:
        start_id = fine_tune.fn(run_id)
        policy_id = train_policy.fn(run_id, start_id)
        evaluate_policy.fn(run_id, policy_id, start_id)
        pass_gate.fn(run_id, policy_id, start_id)

    work_on(run_id, steps)


def _ld_align(world: World) -> None:
    rounds = {name: value for name, value in QUICK.items() if name != "learning_rate"}
    config = LdAlignConfig.model_validate({
        "model": {"name": world.model, "dtype": "float32"},
        "sft": {"epochs": 0},
        "rounds": rounds | {"count": 1, "learning_rates": (1e-3,), "save_every": 2},
        "guide": TINY_GUIDE,
        "evaluate": MEASURED,
        "max_tokens": 4,
    })  # fmt: skip
    run_id = open_ld_align_run.fn(config)

    def steps() -> None:
        weigh_round.fn(run_id, 1, None)
        policy_id = train_round.fn(run_id, 1, None, None)
        evaluate_policy.fn(run_id, policy_id, None)

    work_on(run_id, steps)


def _back_up() -> None:
    back_up(_backup(Settings().artifact_root), Settings().database)


def _restore(root: Path) -> None:
    """Bring the backup of that folder into this installation; done already if it is there."""
    try:
        restore(_backup(root), Settings().database)
    except BackupError:
        engine = make_engine(Settings().database)
        require_current(engine)
        engine.dispose()


def _backed_up_and_emptied() -> None:
    _back_up()
    engine = make_engine(Settings().database)
    downgrade(engine, "base")
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    engine.dispose()


def _upgrade() -> None:
    engine = make_engine(Settings().database)
    upgrade(engine)
    engine.dispose()


def _downgraded() -> None:
    engine = make_engine(Settings().database)
    downgrade(engine, known_revisions()[0])
    engine.dispose()


def _backup(root: Path) -> Path:
    (root / "backup").mkdir(exist_ok=True)
    return root / "backup" / "antipode.backup"


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
