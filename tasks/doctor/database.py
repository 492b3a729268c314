"""What `antipode doctor` asks of others: database, ports, models. What is on this machine: `tasks.doctor.machine`.

Nothing is created or changed, no key or password is printed, and each address is waited for a few seconds at most.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.doctor.machine import GIB, Finding, disk_findings, file_system
from tasks.settings import Settings

if TYPE_CHECKING:
    from db.inspection import Address, Condition, SchemaState

ANSWER_TIMEOUT_S = 3
DATABASE_URLS = "ANTIPODE_DATABASE_URL=postgresql://user:password@host:5432/antipode, or sqlite:////folder/antipode.db"
NETWORK_FILE_SYSTEMS = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "nfs", "nfs4", "smb3", "smbfs"}
)
LOCAL_FUSE = ("fuse.fuse-overlayfs", "fuseblk")
WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")


def database_findings(settings: Settings) -> list[Finding]:
    """Whether the database answers, and what is in it."""
    from db.inspection import NoAnswerError, look, read_address

    try:
        address = read_address(settings.database)
        kind = address.kind
    except ValueError:
        kind = "unreadable"
    if kind not in {"sqlite", "postgresql"}:
        text = f"ANTIPODE_DATABASE_URL must name SQLite or PostgreSQL, it is {kind}"
        return [Finding("database", "problem", text, DATABASE_URLS)]
    name = address.shown
    if kind == "sqlite" and not Path(address.database).exists():
        place = disk_findings(Path(address.database).parent)[0]
        if place.level == "problem":
            return [replace(place, name="database", advice=f"let this user write there, or {DATABASE_URLS}")]
        return [Finding("database", "ok", f"{name} is not there yet; it is made at the first use")]
    try:
        condition = look(settings.database, timeout_s=ANSWER_TIMEOUT_S)
    except ModuleNotFoundError:
        return [Finding("database", "problem", "psycopg is not installed", "pip install -e '.[postgres]'")]
    except NoAnswerError as error:
        return [Finding("database", "problem", f"{name}: {error}", _database_advice(str(error), address))]
    return [*_network_findings(address), *_answer_findings(condition, name)]


def is_network_file_system(kind: str) -> bool:
    """Whether SQLite's locks cannot be trusted there."""
    return kind in NETWORK_FILE_SYSTEMS or (kind.startswith("fuse.") and kind not in LOCAL_FUSE)


def port_findings(name: str, port: int, path: str, expected: object, command: str) -> list[Finding]:
    """Whether a port of this machine is free, or held by its own service, which answers `expected` at `path`."""
    import httpx

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            reason = str(error.strerror).lower()
        else:
            return [Finding(name, "ok", f"port {port} is free")]
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}{path}", timeout=ANSWER_TIMEOUT_S, trust_env=False).json()
    except (httpx.HTTPError, ValueError):
        answer = None
    if answer == expected:
        return [Finding(name, "ok", f"runs at port {port}")]
    return [Finding(name, "problem", f"port {port} cannot be used: {reason}", f"{command} --port {port + 1}")]


def page_port_findings(port: int) -> list[Finding]:
    """The labelling page's port."""
    return port_findings("labelling page", port, "/health", {"status": "ok"}, "antipode web")


def prefect_port_findings(port: int) -> list[Finding]:
    """The port of Prefect's server."""
    return port_findings("Prefect server", port, "/api/health", True, "prefect server start")


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
        models = [str(model["id"]) for model in answer.raise_for_status().json()["data"]]
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        advice = "start it, or correct the address; it usually ends in /v1, such as http://localhost:8000/v1"
        return [Finding(name, "problem", http_reason(error), advice)]
    except (ValueError, KeyError, TypeError):
        advice = "the address must end where /models is, usually in /v1"
        return [Finding(name, "problem", "does not answer /models with a list of models", advice)]
    if not models:
        return [Finding(name, "warning", "serves no model", "start it with one, such as: vllm serve NAME")]
    return [Finding(name, "ok", f"serves {', '.join(models[:5])}{' …' if len(models) > 5 else ''}")]


def http_reason(error: Exception) -> str:
    """An HTTP error in a few words."""
    import httpx

    if isinstance(error, httpx.TimeoutException):
        return f"no answer within {ANSWER_TIMEOUT_S} s"
    if isinstance(error, httpx.HTTPStatusError):
        return f"answers {error.response.status_code} to {error.request.url.path}"
    return str(error).strip().partition("\n")[0] or type(error).__name__


def shown_address(address: str) -> str:
    """An address without the user and password that it may hold."""
    scheme, separator, rest = address.rpartition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path.partition('?')[0]}"


def _network_findings(address: Address) -> list[Finding]:
    kind = file_system(Path(address.database)) if address.kind == "sqlite" else ""
    if not is_network_file_system(kind):
        return []
    text = f"SQLite on {kind}, a network file system, whose locks may fail"
    return [Finding("database", "warning", text, "put it on a local disk, or use PostgreSQL: " + DATABASE_URLS)]


def _answer_findings(condition: Condition, name: str) -> list[Finding]:
    from db.inspection import OLDEST_POSTGRESQL

    text = f"{condition.version} at {name}, {condition.size_bytes / 1e6:,.1f} MB"
    if condition.schema is None:
        advice = f"move to PostgreSQL {OLDEST_POSTGRESQL} or newer (pg_upgrade, or pg_dump and restore)"
        return [Finding("database", "problem", f"{text}: too old", advice)]
    return [Finding("database", "ok", text), _schema(condition.schema)]


def _schema(state: SchemaState) -> Finding:
    """The schema's revision; how many rows it holds where it is this version's."""
    revision = state.revision
    match state.standing:
        case "newest":
            text = f"{revision}, the newest; {state.runs:,} runs, {state.preferences:,} preferences"
            return Finding("schema", "ok", text)
        case "older":
            text = f"{revision}, this version needs {state.newest}"
            return Finding("schema", "problem", text, "make a backup, then: antipode upgrade")
        case "newer":
            return Finding(
                "schema", "problem", f"{revision}, made by a newer version", "install that version of Antipode"
            )
        case "foreign":
            return Finding("schema", "problem", "the database holds tables of something else", DATABASE_URLS)
        case "empty":
            return Finding("schema", "ok", "empty; it is made at the first use")


def _database_advice(reason: str, address: Address) -> str:
    """The advice for a database driver's message."""
    place = f"-h {address.host} -p {address.port or 5432}"
    for part, advice in (
        (
            "password",
            "give the right password: ANTIPODE_DATABASE_URL=postgresql://user:password@host/antipode or ~/.pgpass",
        ),
        ("role ", f"createuser {place} {address.user}"),
        ("does not exist", f"createdb {place} -U {address.user} {address.database}"),
        ("pg_hba.conf", "let this host and user in: pg_hba.conf of the server"),
        ("not a database", f"move the file away, or {DATABASE_URLS}"),
        ("readonly", "let this user write the file and its folder"),
        ("unable to open", "let this user write the file and its folder"),
    ):
        if part in reason:
            return advice
    return f"start the server, or correct host and port: {DATABASE_URLS}"


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
