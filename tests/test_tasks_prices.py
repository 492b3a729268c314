"""Prices that are given once: whose they are, and what a file that says nonsense is answered."""

from __future__ import annotations

import pytest

from models.chat.budget import Budget
from models.judging.replies import MemoryReplies
from tasks.config.labels import JudgeConfig
from tasks.labels.labellers import judge_price, make_asker
from tasks.prices import price_of
from tasks.settings import Settings

TABLE = """
currency = "EUR"
[models.large]
input = 2
output = 8.5
[models."http://localhost:8000/v1"]
input = 0
output = 0
"""


@pytest.fixture
def at(tmp_path):
    """Settings of a folder, and its price table."""

    def write(text):
        (tmp_path / "prices.toml").write_text(text)
        return Settings(artifact_root=tmp_path)

    return write


def price(settings, model="large", url="http://far/v1", given=(0.0, 0.0)):
    return price_of(model, url, input_price=given[0], output_price=given[1], settings=settings)


def test_what_is_configured_goes_before_the_table_and_a_servers_price_before_a_models(at):
    settings = at(TABLE)

    found = price(settings)
    assert (found.input, found.output, found.currency, found.is_known) == (2.0, 8.5, "EUR", True)
    assert price(settings, given=(1.0, 0.0)).output == 0.0
    own_server = price(settings, url="http://localhost:8000/v1")
    assert (own_server.output, own_server.is_known) == (0.0, True)
    assert not price(settings, model="other").is_known
    assert found.of(1_000_000, 2_000_000) == 19.0


def test_without_a_table_no_price_is_known_and_no_file_is_made(tmp_path):
    assert not price(Settings(artifact_root=tmp_path / "absent")).is_known
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[models.large\n", "prices.toml is no TOML"),
        ("[models.large]\ninput = -1\noutput = 0\n", r"prices.toml: models.large.input: .*, got -1"),
        ("[models.large]\ninput = 1\n", r"prices.toml: models.large.output: Field required"),
        ("[models.large]\ninput = '1'\noutput = 0\n", r"models.large.input"),
        ("[models.large]\ninput = nan\noutput = 0\n", r"models.large.input"),
        ("[model.large]\ninput = 1\noutput = 1\n", r"prices.toml: model: "),
    ],
)
def test_a_table_that_says_nonsense_is_refused_by_its_name_and_place(at, text, words):
    with pytest.raises(ValueError, match=words):
        price(at(text))


def test_a_judge_costs_what_the_table_says_and_a_limit_of_money_needs_a_price(at):
    judge = JudgeConfig(base_url="http://far/v1", model="large", max_cost=1.0)
    budget = Budget(max_requests=None, max_cost=1.0)

    asker = make_asker(judge, at(TABLE), replies=MemoryReplies(), budget=budget)
    assert (asker.terms.input_price, asker.terms.output_price) == (2.0, 8.5)
    with pytest.raises(ValueError, match=r"judge.max_cost needs a price of large: .*prices\.toml"):
        judge_price(judge, at(""))
