"""Models are loaded as plain data: nothing that comes with one is run."""

from __future__ import annotations

import ast
import json
import shutil

import pytest
import torch
import yaml
from alignment_jobs import SETTINGS
from safetensors.torch import load_file
from surroundings import ROOT

from flows.terminal.settings_files import _YamlLoader
from models.alignment.loading import load_policy
from models.alignment.scorer import LogpScorer
from models.embedding.hidden_state import HiddenStateEmbedder
from models.errors import ModelLoadError
from models.generation.transformers_local import TransformersGenerator
from models.labelling.reward_model import RewardModelLabeller
from models.plain_weights import why_not_loaded

COMMON = {"revision": None, "dtype": "float32"}
SIZES = {"max_tokens": 100, "tokens_per_batch": 100}
LOADERS = {
    "generation": lambda model: TransformersGenerator(
        model, **COMMON, parameters=None, device="cpu", max_batch_tokens=100
    ),
    "log-probabilities": lambda model: LogpScorer(model, **COMMON, device="cpu", tokens_per_batch=100),
    "embedding": lambda model: HiddenStateEmbedder(model, **COMMON, context="response", **SIZES),
    "reward model": lambda model: RewardModelLabeller(
        model=model, **COMMON, fingerprint="", device="cpu", tie_margin=0.0, **SIZES
    ),
    "training": lambda model: load_policy(model, revision=None, settings=SETTINGS),
}
PLAIN = ("PLAIN_WEIGHTS", "use_safetensors=True", "**how", "**arguments")  # the last two hold the first
WEIGHTS_OF = ("AutoModel", "GPT2Model", "GPT2LMHeadModel", "PeftModel")


@pytest.fixture
def folder(demo_model, tmp_path):
    return shutil.copytree(demo_model, tmp_path / "model")


@pytest.mark.parametrize("loader", LOADERS)
def test_weights_that_are_no_safetensors_are_refused_and_it_is_said_what_to_do(folder, loader):
    weights = folder / "model.safetensors"
    torch.save(load_file(weights), folder / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(ModelLoadError, match=r"in no safetensors file.*save it by save_pretrained"):
        LOADERS[loader](str(folder))


@pytest.mark.parametrize("loader", LOADERS)
def test_code_that_comes_with_a_model_is_not_run(folder, loader, tmp_path):
    mark = tmp_path / "was run"
    (folder / "evil.py").write_text(f"open({str(mark)!r}, 'w')\nclass Evil: pass\n")
    config = json.loads((folder / "config.json").read_text())
    classes = ("AutoConfig", "AutoModel", "AutoModelForCausalLM", "AutoModelForSequenceClassification")
    config |= {"model_type": "evil", "auto_map": dict.fromkeys(classes, "evil.Evil")}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelLoadError, match="Python code of its own, which is never run"):
        LOADERS[loader](str(folder))
    assert not mark.exists()


def test_other_reasons_are_told_as_the_library_tells_them():
    assert why_not_loaded(OSError("there is no such folder")) == "OSError: there is no such folder"
    assert len(why_not_loaded(ValueError("x" * 1_000))) <= 300


def calls():
    for layer in ("antipode", "flows", "tasks", "web", "db", "models"):
        for path in (ROOT / layer).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", ast.unparse(node.func), ast.unparse(node)


def test_every_call_that_loads_a_model_asks_for_plain_data():
    loading = [(place, name, text) for place, name, text in calls() if name.endswith(".from_pretrained")]
    assert len(loading) > 10
    for place, name, text in loading:
        if name.startswith(WEIGHTS_OF):
            assert any(word in text for word in ("PLAIN_WEIGHTS", "use_safetensors=True", "**how", "**arguments")), (
                place
            )
        elif name != "GPT2Config.from_pretrained":  # takes no code: its class is given
            assert "NO_CODE" in text, place
    assert all('load_format="safetensors"' in text.replace("'", '"') for _, name, text in calls() if name == "LLM")


def test_nothing_reads_a_file_that_could_run_code():
    """Pickles go through the pipe to a child of one's own alone (`models.processes.isolated_host`)."""
    for place, name, text in calls():
        if name in {"pickle.load", "pickle.loads", "pickle.Unpickler", "dill.loads", "cloudpickle.loads"}:
            assert place.startswith("models/processes/isolated_host.py"), place
        if name == "exec":  # a file of strategies, which the user names to have it run
            assert place.startswith("models/selection/finding.py"), place
        if name == "yaml.load":
            assert text.endswith("Loader=_YamlLoader)") and issubclass(_YamlLoader, yaml.SafeLoader), place
        assert name not in {"eval", "torch.load", "yaml.unsafe_load", "yaml.full_load", "joblib.load", "os.system"}, (
            place
        )
        assert "allow_pickle=True" not in text and "shell=True" not in text, place
        assert "trust_remote_code=True" not in text, place
