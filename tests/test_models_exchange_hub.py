"""The hub's part that a push does not show: licences, addresses."""

from __future__ import annotations

import time

import pytest
from hub_server import hub_serving
from huggingface_hub import close_session, constants
from raw_server import raw_server

from models.exchange import hub

NEW = hub.Standing(is_there=False, is_private=True, commit=None, changed=("x",), surplus=())


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
    odd = ["../etc", "x" * 5_000, "--/..", str(tmp_path / "none"), ""]
    names = [*odd, str(tmp_path), "anna/known", "anna/odd", "anna/unknown", "gpt-x", "policy:3"]
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


@pytest.mark.parametrize("body", [b"<html>Sign in</html>", b"[]", b"{}", b'{"id": 3}', b""])
def test_a_server_that_is_no_hub_is_one_line(server, body, tmp_path):
    (tmp_path / "x").write_bytes(b"x")

    def answer(write, _):
        write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with raw_server(answer) as other:
        place = hub.Place(other.url.removesuffix("/v1"), "anna/x")
        for act in (
            lambda: hub.look(place, {"x": tmp_path / "x"}),
            lambda: hub.fetch(place, tmp_path / "folder", revision=None),
            lambda: hub.publish(place, {"x": tmp_path / "x"}, NEW, title="x", is_public=False),
        ):
            with pytest.raises(hub.HubError, match=r"datasets/anna/x cannot be (read|sent to): ") as failure:
                act()
            assert "\n" not in str(failure.value)


def test_a_hub_that_is_not_there_is_one_line(server):
    with pytest.raises(hub.HubError, match=r"cannot be read: .*refused"):
        hub.look(hub.Place("http://127.0.0.1:9", "anna/x"), {})
