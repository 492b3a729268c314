"""The hub's part that a push does not show: licences, addresses."""

from __future__ import annotations

import time

import pytest
from hub_server import hub_serving
from huggingface_hub import close_session, constants

from models.exchange import hub


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    close_session()
    with hub_serving() as own:
        yield own
    close_session()


def test_a_licence_comes_from_the_models_folder_or_the_hub(server, tmp_path):
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n# mine\n")
    server.licences = {"anna/known": "apache-2.0", "anna/odd": ["a", "b"]}
    names = [str(tmp_path), "anna/known", "anna/odd", "anna/unknown", "gpt-x", "policy:3"]
    assert hub.licences(names, server.url) == {str(tmp_path): "mit", "anna/known": "apache-2.0"}
    asked = [one for one in server.requests if "models" in one]
    assert asked == [f"GET /api/models/anna/{one}" for one in ("known", "odd", "unknown")]


def test_a_hub_that_does_not_answer_is_asked_once(server, tmp_path):
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    began = time.monotonic()
    names = ["anna/a", "anna/b", "anna/c", str(tmp_path)]
    assert hub.licences(names, "http://127.0.0.1:9") == {str(tmp_path): "mit"}
    assert time.monotonic() - began < 20


def test_an_offline_installation_says_so_and_asks_nothing(server, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    close_session()
    with pytest.raises(hub.HubError, match="cannot be read: HF_HUB_OFFLINE forbids it; unset it"):
        hub.look(hub.Place(server.url, "anna/x"), {})
    assert hub.licences(["anna/known"], server.url) == {} and not server.requests


def test_the_address_is_that_of_the_environment(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://mirror.example/")
    assert hub.Place(hub.endpoint(), "a/b").address == "http://mirror.example/datasets/a/b"
    monkeypatch.delenv("HF_ENDPOINT")
    assert hub.endpoint() == constants.ENDPOINT
