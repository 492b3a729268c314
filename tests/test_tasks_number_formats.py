"""The number format of a run: decided once, stored, told; and no product in a format that the processor emulates."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from alignment_world import align_config, ld_align_config, prefer, tiny_model
from curation_steps import configured, row
from labelling_steps import label
from reward_models import make_reward_model
from sqlalchemy import text
from stored_rows import add
from surroundings import ROOT, on_sqlite
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from db import runs
from models import number_format
from models.demo.language_model import make_demo_model
from tasks.alignment.opening import open_align_run, open_ld_align_run
from tasks.alignment.rounds import train_round, weigh_round
from tasks.alignment.training import fine_tune, train_policy
from tasks.config.curation import CurateConfig
from tasks.config.labels import LabelConfig
from tasks.curation.embedding import embed
from tasks.curation.generation import generate
from tasks.curation.opening import open_run
from tasks.errors import NoModelError
from tasks.evaluation.comparison import evaluate_policy
from tasks.labels.opening import open_label_run
from tasks.run_kinds import CURATION, load_alignment
from tasks.runs import recorded

MODEL_STEPS = {"generate": {"backend": "transformers", "max_tokens": 4}, "embed": {"backend": "transformers"}}
PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "linear", "matmul", "attention", "conv")


@pytest.fixture(params=["emulating", "computing"])
def processor(request, monkeypatch):
    """A processor without bfloat16 instructions, and one with them, as far as it says."""
    flags = {"fma", "avx2"} if request.param == "emulating" else {"fma", "avx2", "avx512f", "avx512_bf16"}
    said = number_format.Capabilities("cpu", f"a processor {request.param} bfloat16", flags=frozenset(flags))
    monkeypatch.setattr(number_format, "this_device", lambda: said)
    number_format.fast_format.cache_clear()
    yield request.param
    number_format.fast_format.cache_clear()


class Products(TorchDispatchMode):
    """Notes the number formats of what matrix products multiply."""

    def __init__(self):
        super().__init__()
        self.formats = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if any(word in func.__name__ for word in PRODUCTS):
            factors = [
                one for one in tree_leaves(args) if hasattr(one, "is_floating_point") and one.is_floating_point()
            ]
            self.formats |= {str(one.dtype).removeprefix("torch.") for one in factors}
        return func(*args, **(kwargs or {}))


@pytest.fixture
def products(monkeypatch):
    """What is multiplied in which format; what has a process of its own elsewhere is built and called in this one."""
    from models.alignment import training
    from models.labelling import reward_model
    from models.processes import isolation, shared_process

    watch = Products()

    class InThisProcess:
        def __init__(self, build, arguments, **_):
            with watch:
                self._backend = build(**arguments)

        def call(self, method, *arguments):
            with watch:
                return getattr(self._backend, method)(*arguments)

        def close(self):
            pass

        __enter__ = lambda self: self  # noqa: E731
        __exit__ = lambda self, *_: None  # noqa: E731

    for module in (training, reward_model):
        assert module.IsolatedProcess is isolation.IsolatedProcess
        monkeypatch.setattr(module, "IsolatedProcess", InThisProcess)
    for name in ("start", "start_alone"):
        monkeypatch.setattr(
            shared_process.SharedProcess, name, lambda _, build, arguments, **__: InThisProcess(build, arguments)
        )
    return watch


def any_format(config, dtype="auto"):
    """The alignment with a model whose format the machine decides, or this one; the machine decides for training."""
    training = "rounds" if hasattr(config, "rounds") else "train"
    formats = {"model": dtype, training: "auto"}
    return config.model_copy(
        update={name: getattr(config, name).model_copy(update={"dtype": one}) for name, one in formats.items()}
    )


@on_sqlite
def test_no_step_multiplies_in_a_format_that_the_processor_emulates(
    settings, sessions, processor, products, demo_model, tmp_path
):
    prefer(sessions)
    model = tiny_model(tmp_path / "model")
    expected = {"float32"} if processor == "emulating" else {"float32", "bfloat16"}
    used = {}

    def curation():
        changes = MODEL_STEPS | {"model": {"name": model}, "select": {"has_cut": True}}  # it samples 4 tokens
        run_id = open_run.fn(CurateConfig.model_validate(changes))
        with recorded(run_id):
            generate.fn(run_id)
            embed.fn(run_id)

    def judging():
        classifier = make_reward_model(demo_model, tmp_path / "classifier")
        label(annotator="reward_model", reward_model={"name": classifier}, pairs={"run": "1"})

    def alignment():
        config = any_format(align_config(model, data={"run": "1"}, sft={"epochs": 1}, evaluate={"has_drift": True}))
        run_id = open_align_run.fn(config)
        with recorded(run_id):
            start_id = fine_tune.fn(run_id)
            policy_id = train_policy.fn(run_id, start_id)
            evaluate_policy.fn(run_id, policy_id, start_id)

    def rounds():
        run_id = open_ld_align_run.fn(any_format(ld_align_config(model, data={"run": "1"}, rounds={"count": 1})))
        with recorded(run_id):
            weigh_round.fn(run_id, 1, None)
            train_round.fn(run_id, 1, None, None)

    def demo_model_recipe():
        with products:
            make_demo_model(tmp_path / "remade", dialogue_count=32, progress=lambda done, total: None)

    for step in (curation, judging, alignment, rounds, demo_model_recipe):
        products.formats.clear()
        step()
        used[step.__name__] = set(products.formats)

    assert all(formats and formats <= expected for formats in used.values()), used
    if processor == "computing":
        assert all("bfloat16" in formats for formats in used.values()), used


@on_sqlite
def test_a_runs_row_says_what_auto_stands_for_and_why_and_its_steps_keep_to_it(
    settings, sessions, processor, monkeypatch, capsys
):
    add(sessions, row(1, "Why?"))
    dtype = "float32" if processor == "emulating" else "bfloat16"

    run_id = open_run.fn(CurateConfig(model={"name": "demo"}))

    with sessions() as session:
        stored = session.execute(text("SELECT dtype, dtype_reason FROM run_summary")).one()
        assert stored[0] == dtype and f"a processor {processor} bfloat16" in stored[1]
        assert runs.get_run(session, run_id).config["model"]["dtype"] == "auto"
        assert CURATION.load_config(session, run_id).model.dtype == dtype
    assert f"number format: {dtype} (a processor {processor} bfloat16" in capsys.readouterr().err

    moved = number_format.Capabilities("cuda", "another machine's GPU", has_bfloat16=processor == "emulating")
    monkeypatch.setattr(number_format, "this_device", lambda: moved)
    number_format.fast_format.cache_clear()
    assert number_format.fast_format().dtype != dtype
    with sessions() as session:
        assert CURATION.load_config(session, run_id).model.dtype == dtype, "on another machine too"


@on_sqlite
def test_a_run_that_loads_no_model_has_no_number_format(settings, sessions, capsys):
    add(sessions, row(1, "Why?", "Because.", "Since."))

    open_run.fn(configured())

    with sessions() as session:
        assert session.execute(text("SELECT dtype, dtype_reason FROM run_summary")).one() == (None, None)
    assert "number format" not in capsys.readouterr().err


@on_sqlite
def test_a_run_of_a_version_that_stored_no_format_gets_one_for_good_when_it_is_taken_up(
    settings, sessions, processor, capsys
):
    add(sessions, row(1, "Why?"))
    config = CurateConfig(model={"name": "demo"})
    run_id = open_run.fn(config)
    with sessions.begin() as session:
        session.execute(text("UPDATE runs SET dtype = NULL, dtype_reason = NULL"))

    assert open_run.fn(config) == run_id

    dtype = "float32" if processor == "emulating" else "bfloat16"
    with sessions() as session:
        assert session.execute(text("SELECT dtype FROM runs")).scalar_one() == dtype
    capsys.readouterr()
    assert open_run.fn(config) == run_id
    assert f"number format: {dtype}, in which the run began" in capsys.readouterr().err


@on_sqlite
def test_a_run_whose_prompts_bring_their_responses_loads_no_model_and_needs_none(settings, sessions):
    add(sessions, row(1, "Why?", "Because.", "Since."))

    open_run.fn(CurateConfig(embed={"backend": "hashed"}))

    with sessions() as session:
        assert session.execute(text("SELECT dtype FROM run_summary")).scalar_one() is None
    add(sessions, row(2, "How?", "So."), name="more")
    with pytest.raises(NoModelError, match=r"--model\.name"):
        open_run.fn(CurateConfig(embed={"backend": "hashed"}))


@on_sqlite
def test_alignments_and_reward_models_settle_every_auto(settings, sessions, processor, tmp_path):
    prefer(sessions)
    dtype = "float32" if processor == "emulating" else "bfloat16"

    run_id = open_align_run.fn(any_format(align_config(tiny_model(tmp_path / "model")), "float16"))
    label_id = open_label_run.fn(
        LabelConfig(annotator="reward_model", reward_model={"name": "some/classifier"}, name="by a classifier")
    )

    with sessions() as session:
        config = load_alignment(session, run_id)
        assert (config.model.dtype, config.train.dtype) == ("float16", dtype), "what a user names is kept"
        assert runs.get_run(session, label_id).dtype == dtype


def test_a_slow_format_that_was_named_is_kept_with_a_warning_that_gives_the_measured_factor():
    code = (
        "from tasks.config.curation import CurateConfig\n"
        "from tasks.number_formats import chosen_format, with_format\n"
        "config = CurateConfig.model_validate({'model': {'dtype': 'bfloat16'}})\n"
        "print(with_format(config, chosen_format(config).dtype).model.dtype)"
    )
    emulating = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "PYTHONPATH": str(ROOT)}

    ended = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | emulating, capture_output=True, text=True, check=True
    )

    warning, chosen = ended.stderr.splitlines()
    assert ended.stdout == "bfloat16\n"
    assert warning.startswith("warning: model.dtype is bfloat16, in which a product takes ")
    assert int(warning.partition("takes ")[2].split()[0]) > 3
    assert chosen.startswith("number format: float32 (")
