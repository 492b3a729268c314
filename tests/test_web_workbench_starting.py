"""Starting things from a page: the forms, what is sent of them, what is refused."""

from __future__ import annotations

import re

import pytest
from page_visitor import HERE, HTML, Visitor, open_queue
from planted_service import PlantedService
from surroundings import on_sqlite

pytestmark = on_sqlite


@pytest.fixture
def service():
    return PlantedService()


@pytest.fixture
def lea(sessions, service, tmp_path):
    return Visitor(sessions, "Lea", is_lead=True, service=service, artifacts=tmp_path)


def form(visitor, address):
    answer = visitor.http.get(address, headers=HTML)
    assert answer.status_code == 200
    return answer.text


def test_a_form_suggests_what_the_database_knows_and_takes_values_from_its_address(lea, sessions):
    open_queue(sessions, "a", "b", name="breads & more")
    page = form(lea, "/start/curate?source.name=breads&model.name=%3Cb%3E")
    assert '<option value="breads &amp; more">' in page
    assert 'value="&lt;b&gt;"' in page and "<b>" not in page
    assert re.search(r'name="queue.is_opened" checked', page), "who starts a run here wants its pairs to be labelled"
    assert "<details>" in page, "the rest stays shut"
    assert "<details open>" in form(lea, "/start/curate?select.budget=20")


def test_a_setting_is_shown_with_its_default_bounds_and_words(lea):
    page = form(lea, "/start/curate")
    field = re.search(r'<input name="generate.responses_per_prompt"[^>]*>', page)[0]
    assert 'type="number"' in field and 'min="1"' in field and 'max="64"' in field and 'value="8"' in field
    assert "K, per generator (1 to 64)." in page
    assert re.search(r'<select name="generate.backend".*?<option value="auto" selected>', page, re.DOTALL)
    assert 'name="select.strategy_files"' not in page, "it names code"


def test_what_is_left_as_it_was_is_left_to_the_configuration(lea, service):
    given = {"name": "mine", "generate.responses_per_prompt": 8, "select.strategies": "easy, random"}
    answer = lea.http.post("/start/curate", json=given | {"queue.is_opened": False}, headers=HERE)
    assert answer.json() == {"next": "/", "words": "curate mine is started; how it goes is shown below"}
    [config] = service.configs
    assert config.name == "mine" and config.select.strategies == ("easy", "random")
    assert "responses_per_prompt" not in config.generate.model_fields_set
    assert config.queue.is_opened is False
    lea.http.post("/start/curate", json={}, headers=HERE)
    assert service.configs[-1].queue.is_opened is True


@pytest.mark.parametrize(
    ("what", "values", "words"),
    [
        ("curate", {"generate.temperature": 9}, "generate.temperature: Input should be less than or equal to 2"),
        ("curate", {"generate.max_requests": 3}, "generate.max_requests is for generate.backend openai"),
        ("curate", {"select.strategy_files": "/tmp/a.py"}, "select.strategy_files: it names code that is run"),
        ("align", {"train.accelerate_config": "/tmp/a"}, "train.accelerate_config: it names code that is run"),
        ("curate", {"select": '{"strategy_files": ["/tmp/a.py"]}'}, "select: it is a section"),
        ("align", {"train": '{"accelerate_config": "/tmp/a"}'}, "train: it is a section"),
        ("curate", {"naem": "x"}, "naem: Extra inputs are not permitted"),
        ("import", {}, "nothing to import is named"),
        ("evaluate", {"policy": 1}, "nobody compares"),
        ("evaluate", {"evaluate.annotator": "rubric"}, "policy: Field required"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line_and_nothing_starts(lea, service, what, values, words):
    answer = lea.http.post(f"/start/{what}", json=values, headers=HERE)
    assert answer.status_code == 409 and words in answer.json()["detail"] and "\n" not in answer.json()["detail"]
    assert service.configs == []


def test_a_prefect_that_is_away_is_told_and_what_nobody_knows_is_not_found(lea, service):
    service.trouble = "Prefect's server does not answer"
    answer = lea.http.post("/start/curate", json={}, headers=HERE)
    assert answer.status_code == 503 and answer.json()["detail"] == service.trouble
    assert lea.http.get("/start/dinner").status_code == 404
    assert lea.http.post("/start/dinner", json={}, headers=HERE).status_code == 404


def test_without_prefect_a_form_says_what_to_type(sessions):
    answer = Visitor(sessions, "Lea", is_lead=True).http.get("/start/curate")
    assert answer.status_code == 503 and "antipode up" in answer.json()["detail"]
