"""What the doctor says of models by their names, and of servers that hold some."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

from models.chat.secrets import cleaned
from models.records import shortened
from tasks.doctor.database import ANSWER_TIMEOUT_S, http_reason, shown_address
from tasks.doctor.machine import GIB, Finding

WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")


def model_findings(name: str) -> list[Finding]:
    """Whether a model can be loaded: a folder, or a name of the hub that is in the local cache or can be fetched."""
    label = f"model {name}"
    if name == "demo":
        return [Finding(label, "ok", "comes with Antipode")]
    if name == "promoted" or name.startswith("policy:"):
        return [Finding(label, "ok", "is one of the database's; antipode policies lists them")]
    folder = Path(name)
    if folder.is_dir():
        return [_folder(label, folder)]
    try:
        return [_hub_model(label, name)]
    except ValueError:  # the hub's library refuses a malformed name
        return [Finding(label, "problem", "there is no such folder", "name a folder that is there, or a hub name")]


def server_findings(address: str, key: str | None) -> list[Finding]:
    """Whether an OpenAI-compatible server answers, and with which models."""
    import httpx

    name = f"server {shown_address(address)}"
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        answer = httpx.get(f"{address.rstrip('/')}/models", headers=headers, timeout=ANSWER_TIMEOUT_S)
        if answer.status_code in {401, 403}:
            text = f"refuses the {'key' if key else 'request without a key'} ({answer.status_code})"
            return [Finding(name, "problem", text, "export ANTIPODE_OPENAI_API_KEY=<the server's key>")]
        models = [shortened(cleaned(str(model["id"]), key), 100) for model in answer.raise_for_status().json()["data"]]
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        advice = "start it, or correct the address; it usually ends in /v1, such as http://localhost:8000/v1"
        return [Finding(name, "problem", cleaned(http_reason(error), key), advice)]
    except (ValueError, KeyError, TypeError, RecursionError):
        advice = "the address must end where /models is, usually in /v1"
        return [Finding(name, "problem", "does not answer /models with a list of models", advice)]
    if not models:
        return [Finding(name, "warning", "serves no model", "start it with one, such as: vllm serve NAME")]
    return [Finding(name, "ok", f"serves {', '.join(models[:5])}{' …' if len(models) > 5 else ''}")]


def _hub_model(label: str, name: str) -> Finding:
    """Where a hub name would come from: the local cache, or the hub."""
    import httpx
    from huggingface_hub import constants, get_token, try_to_load_from_cache

    cached = try_to_load_from_cache(name, "config.json", cache_dir=os.environ.get("HF_HUB_CACHE"))
    if isinstance(cached, str):
        finding = _folder(label, Path(cached).parent)
        if finding.level == "ok":
            return replace(finding, text=f"in the local cache: {finding.text}")
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in constants.ENV_VARS_TRUE_VALUES:
        text = "it is not whole in the local cache, and HF_HUB_OFFLINE forbids fetching it"
        return Finding(label, "problem", text, f"unset HF_HUB_OFFLINE, or elsewhere: hf download {name}")
    hub = os.environ.get("HF_ENDPOINT") or constants.ENDPOINT
    token = get_token()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        answer = httpx.head(f"{hub}/{name}/resolve/main/config.json", headers=headers, timeout=ANSWER_TIMEOUT_S)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        advice = f"HTTPS_PROXY or HF_ENDPOINT for this network; or where it is reachable: hf download {name}"
        return Finding(label, "problem", f"not in the local cache, and the hub: {http_reason(error)}", advice)
    if answer.status_code in {401, 403}:
        text = f"the hub answers {answer.status_code}: no such model, or not for everybody"
        return Finding(label, "problem", text, f"correct the name, or ask for access to {name}, then: hf auth login")
    if answer.status_code >= 400:
        text = f"the hub answers {answer.status_code}: there is no such model"
        return Finding(label, "problem", text, "correct the name; it looks like Qwen/Qwen2.5-0.5B-Instruct")
    return Finding(label, "ok", "on the hub; it is downloaded at the first use")


def _folder(label: str, folder: Path) -> Finding:
    """What a folder lacks to be loaded as a model."""
    lacks = [] if (folder / "config.json").exists() else ["config.json"]
    weights = [path for pattern in WEIGHTS for path in folder.glob(pattern)]
    index = folder / "model.safetensors.index.json"
    if index.exists():
        shards = set(json.loads(index.read_text())["weight_map"].values())
        lacks += sorted(shard for shard in shards if not (folder / shard).exists())
    elif not weights:
        lacks.append("weights (model.safetensors)")
    if not any((folder / name).exists() for name in TOKENIZERS):
        lacks.append("a tokenizer (tokenizer.json)")
    if lacks:
        advice = "save model and tokenizer there with save_pretrained, or download the whole model"
        return Finding(label, "problem", f"the folder lacks {', '.join(lacks)}", advice)
    return Finding(label, "ok", f"folder with {sum(path.stat().st_size for path in weights) / GIB:.2f} GiB of weights")
