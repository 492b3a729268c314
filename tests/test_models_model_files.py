"""What a model's files say without being loaded."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from models.demo import MODEL_FOLDER
from models.fingerprint import model_fingerprint
from models.model_files import embedding_size, local_folder, size_bytes, weight_count


@pytest.mark.parametrize(
    ("config", "size"),
    [
        ({"hidden_size": 256}, 256), ({"n_embd": 768}, 768), ({"text_config": {"hidden_size": 64}}, 64),
        ({}, None), ([], None), ({"hidden_size": "wide"}, None),
    ],
)  # fmt: skip
def test_the_size_of_the_last_layer_is_read_or_not_known(tmp_path, config, size):
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert embedding_size(tmp_path) == size


def test_without_a_readable_configuration_nothing_is_known(tmp_path):
    assert embedding_size(tmp_path) is None
    (tmp_path / "config.json").write_text("{")
    assert embedding_size(tmp_path) is None and weight_count(tmp_path) is None


def test_weights_are_counted_over_all_files_and_their_bytes_too(tmp_path):
    save_file(
        {"a": np.zeros((3, 4), np.float16), "b": np.zeros((), np.float32)}, tmp_path / "1.safetensors", {"of": "x"}
    )
    save_file({"c": np.zeros(5, np.float32)}, tmp_path / "2.safetensors")
    assert weight_count(tmp_path) == 12 + 1 + 5
    assert size_bytes(tmp_path) == sum(path.stat().st_size for path in tmp_path.iterdir())


def test_a_folder_is_where_it_is_and_a_hub_model_only_where_the_cache_has_it():
    assert local_folder(str(MODEL_FOLDER), None) == MODEL_FOLDER
    assert model_fingerprint(str(MODEL_FOLDER), None)
    assert local_folder("nobody/nothing", None) is None
    assert local_folder("no hub name at all!", None) is None
