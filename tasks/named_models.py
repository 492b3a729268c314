"""Models by their names: what a name means today, where the model is, and its fingerprint. Knows no Prefect."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from db import policies, promotions
from db.engine import Session, Sessions
from models.demo import MODEL_FOLDER
from models.errors import ModelLoadError
from models.files import inside
from models.fingerprint import is_as_it_was, model_fingerprint
from models.model_files import local_folder
from models.records import MAX_ID
from tasks.config.curation import ModelConfig
from tasks.errors import NoModelError
from tasks.settings import Settings
from tasks.storage import brought_folder, holds_folder

DEMO_MODEL = "demo"
PROMOTED = "promoted"
POLICY_PREFIX = "policy:"


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A model: what to load, and the hash of its content. `policy_id` is None for one that was not trained here."""

    name: str
    location: str
    revision: str | None
    fingerprint: str
    policy_id: int | None = None


def policy_name(policy_id: int) -> str:
    """The name under which a policy is given as a model."""
    return f"{POLICY_PREFIX}{policy_id}"


def policy_id_of(session: Session, name: str) -> int | None:
    """The id of the policy that a model is: `policy:ID`, or a folder of the same content; None: not trained here."""
    number = name.removeprefix(POLICY_PREFIX)
    if name.startswith(POLICY_PREFIX) and number.isdecimal():
        return int(number)
    if name == DEMO_MODEL or not Path(name).is_dir():
        return None
    return policies.find_by_fingerprint(session, model_fingerprint(name, None))


def chosen_model(session: Session, model: ModelConfig, *, is_demo: bool = False) -> ModelConfig:
    """The model that a configuration means now: `promoted` becomes the policy in use, which may change any day.

    Args:
        session: of the database.
        model: as configured.
        is_demo: the demo's own prompts are to be answered, which `demo` does where nothing is chosen.

    Raises:
        NoModelError: If none is chosen.
        LookupError: If the policy in use is meant, and there is none.
    """
    if not model.name and is_demo:
        return model.model_copy(update={"name": DEMO_MODEL})
    if not model.name:
        raise NoModelError(
            "no model is chosen; name the one that is to be aligned: --model.name with a hub name, a folder or "
            "policy:ID (`demo` is the small model that Antipode brings; it knows the demo's questions alone)"
        )
    if model.name != PROMOTED:
        return model
    policy_id = promotions.in_use(session)
    if policy_id is None:
        raise LookupError("no policy is in use; promote one: antipode promote ID, or name a model")
    return model.model_copy(update={"name": policy_name(policy_id)})


def find_model(sessions: Sessions, name: str, base: ModelConfig, settings: Settings) -> NamedModel:
    """Find a model and hash its content; `demo` is the one that Antipode brings, `policy:ID` a trained one.

    The revision of the configuration belongs to the base model; another model is taken at its newest.

    Raises:
        ModelLoadError: If there is no such folder or hub model, or a policy's files are not those that were trained.
        LookupError: If there is no such policy, or it is not trained.
    """
    if name.startswith(POLICY_PREFIX):
        policy = _trained(sessions, name, settings)
        if not is_as_it_was(Path(policy.location), policy.fingerprint):
            raise ModelLoadError(
                name,
                f"the files in {policy.location} are not those that were trained; restore them, or delete the folder "
                "and give the command that trained it again",
            )
        return policy
    location, revision = name, base.revision if name == base.name else None
    if name == DEMO_MODEL:
        location = str(MODEL_FOLDER)
    return NamedModel(name, location, revision, model_fingerprint(location, revision))


def look_up_model(sessions: Sessions, name: str, base: ModelConfig, settings: Settings) -> NamedModel | None:
    """A model whose files are on this machine, as `find_model` finds it; None: the hub would have to be asked.

    Raises:
        LookupError: If there is no such policy, or it is not trained.
        ModelLoadError: If a policy's files are not there.
    """
    if name.startswith(POLICY_PREFIX):
        return _trained(sessions, name, settings)
    location, revision = name, base.revision if name == base.name else None
    if name == DEMO_MODEL:
        location = str(MODEL_FOLDER)
    folder = local_folder(location, revision)
    if folder is None:
        return None
    is_cached = folder != Path(location)
    fingerprint = folder.name if is_cached else model_fingerprint(location, revision)  # the hub's cache: by commit
    return NamedModel(name, str(folder), revision, fingerprint)


def check_model(sessions: Sessions, name: str, settings: Settings) -> None:
    """Refuse a policy that is not trained and a folder that holds no model; the hub is not asked.

    Raises:
        LookupError: If there is no such policy.
        ModelLoadError: If there is no such folder, or no model in it.
    """
    if name == DEMO_MODEL:
        return
    if name.startswith(POLICY_PREFIX):
        _trained(sessions, name, settings, is_fetched=False)
        return
    folder = Path(name)
    if folder.is_dir():
        if not any((folder / file).is_file() for file in ("config.json", "adapter_config.json")):
            raise ModelLoadError(name, "the folder holds no config.json; name one that save_pretrained wrote")
    elif name.startswith(("/", ".", "~")) or name.count("/") > 1:
        raise ModelLoadError(name, "there is no such folder")


def _trained(sessions: Sessions, name: str, settings: Settings, *, is_fetched: bool = True) -> NamedModel:
    """The model of `policy:ID`, whose files are there; they never change: they were hashed when it was trained.

    `is_fetched` is False where nobody loads it here: at the URL is there enough.
    """
    number = name.removeprefix(POLICY_PREFIX)
    if not number.isdecimal() or int(number[:20]) > MAX_ID:
        raise LookupError(f"a policy is named like policy:3, got {name!r}; see: antipode policies")
    with sessions() as session:
        policy = policies.get_policy(session, int(number))
    if policy.folder is None or policy.fingerprint is None:
        raise LookupError(f"policy {number} is not trained (it is {policy.status}); see: antipode policies")
    folder = inside(settings.artifact_root, policy.folder)
    is_there = brought_folder(policy.folder, settings).is_dir() if is_fetched else holds_folder(policy.folder, settings)
    if not is_there:
        raise ModelLoadError(
            name,
            f"its folder {folder.absolute()} is not there; bring it back (is the disk or share mounted? is "
            "ANTIPODE_ARTIFACT_ROOT, or ANTIPODE_ARTIFACT_URL, right?), or give the command that trained it again",
        )
    return NamedModel(name, str(folder), None, policy.fingerprint, policy.id)
