"""GPT-2, the guide's base in the paper: is it on this machine, or does the hub give it? No hub is told quickly."""

from __future__ import annotations

import threading
from typing import NamedTuple

from models.model_files import local_folder, position_count

PRETRAINED = "openai-community/gpt2"
PRETRAINED_POSITIONS = 1024
PROBE_S = 3.0  # for the hub's first answer, the look-up of its address included
_NEEDED = ("config.json", "model.safetensors", "tokenizer.json")
_FILES = (*_NEEDED, "tokenizer_config.json", "vocab.json", "merges.txt")


class Base(NamedTuple):
    """What a guide starts from, None for nothing, and why it is not GPT-2; no reason where it is."""

    name: str | None
    reason: str


def pretrained_base(*, probe_s: float) -> Base:
    """GPT-2 where its files are on this machine or come from the hub now, else nothing.

    Args:
        probe_s: how long the hub may take for its first answer, in seconds; a download that has begun may take longer.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HTTPError

    if _is_whole():
        return Base(PRETRAINED, "")
    if constants.is_offline_mode():
        return Base(None, "it is not in the local cache, and HF_HUB_OFFLINE forbids fetching it")
    if reason := _silence(probe_s):
        return Base(None, f"it is not in the local cache, and the hub {reason}")
    try:
        snapshot_download(PRETRAINED, allow_patterns=list(_FILES))
    except (OSError, ValueError, HTTPError) as error:
        return Base(None, f"it could not be fetched: {type(error).__name__}")
    return Base(PRETRAINED, "") if _is_whole() else Base(None, "the hub gave it only in part")


def positions_of(name: str) -> int | None:
    """The most tokens that this GPT-2 takes; None where its files are not on this machine, or do not say."""
    if name == PRETRAINED:
        return PRETRAINED_POSITIONS
    folder = local_folder(name, None)
    return None if folder is None else position_count(folder)


def _is_whole() -> bool:
    folder = local_folder(PRETRAINED, None)
    return folder is not None and all((folder / name).is_file() for name in _NEEDED)


def _silence(probe_s: float) -> str:
    """Why the hub cannot be asked, empty where it answers.

    In a thread that nobody waits for: the look-up of an address obeys no time limit of the client's.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError

    found: list[str] = []

    def ask() -> None:
        try:
            HfApi().model_info(PRETRAINED, timeout=probe_s)
        except (OSError, ValueError, HTTPError) as error:
            found.append(f"does not answer ({type(error).__name__})")
        else:
            found.append("")

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(probe_s)
    return found[0] if found else f"does not answer within {probe_s:g} s"
