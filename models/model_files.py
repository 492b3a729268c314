"""What a model's files say of it: where they are, how wide and how large it is. Loads no weights and asks no hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_WIDTHS = ("hidden_size", "n_embd", "d_model")  # as configurations call the size of the last hidden layer
_HEADER_BYTES = 8  # of a safetensors file: how long its header is


def local_folder(name: str, revision: str | None) -> Path | None:
    """Where a model's files are on this machine: its folder, or the hub's cache; None: it would be downloaded."""
    if (folder := Path(name)).is_dir():
        return folder
    from huggingface_hub import try_to_load_from_cache

    try:
        cached = try_to_load_from_cache(name, "config.json", revision=revision)
    except ValueError:  # no hub name
        return None
    return Path(cached).parent if isinstance(cached, str) else None


def embedding_size(folder: Path) -> int | None:
    """The size of the last hidden layer; None where the configuration does not say."""
    config = _config(folder)
    sections = [config, config.get("text_config")]
    sizes = (section.get(name) for section in sections if isinstance(section, dict) for name in _WIDTHS)
    return next((size for size in sizes if isinstance(size, int)), None)


def position_count(folder: Path) -> int | None:
    """The most tokens that a GPT-2 takes; None where the configuration does not say."""
    count = _config(folder).get("n_positions")
    return count if isinstance(count, int) else None


def size_bytes(folder: Path) -> int:
    """What the files take."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def weight_count(folder: Path) -> int | None:
    """How many numbers the model's safetensors files hold; None where there are none."""
    counts = [_weights_in(path) for path in folder.glob("*.safetensors")]
    return sum(counts) or None


def _config(folder: Path) -> dict[str, Any]:
    """What the configuration says, nothing where there is none that can be read."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def _weights_in(path: Path) -> int:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_HEADER_BYTES), "little")
        header: dict[str, Any] = json.loads(file.read(length))
    total = 0
    for name, tensor in header.items():
        count = name != "__metadata__"
        for size in tensor["shape"] if count else ():
            count *= size
        total += count
    return total
