"""A snapshot's card: what it says, and that nothing in a name is read as a mark of Markdown or YAML."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml
from markdown_it import MarkdownIt

from models.exchange.card import Agreement, AnnotatorUse, ModelUse, SnapshotFacts, card, is_card, shown_model
from models.exchange.dataset_folder import FILES, file_split

FACTS = SnapshotFacts(
    name="mine",
    content_hash="ab" * 32,
    made_on="2026-03-01",
    row_count=1_234,
    query={"rule": "majority", "annotators": "all"},
    code_versions=["0.1.0"],
    strategies={"easy": 700, "hard": 534},
    splits={None: 1_000, "test": 234},
    models=[ModelUse("Qwen/Qwen2.5-0.5B-Instruct", 700, 600, "apache-2.0"), ModelUse(None, 534, 634)],
    sources={"wiki": 12},
    cut=3,
    support=0.875,
    settings={7: {"select.scope": "prompt", "embed.backend": "hashed"}},
    annotators=[AnnotatorUse("judge", "tiny (alpaca_eval)", 1, 1_234), AnnotatorUse("person", None, 2, 40)],
    agreement=Agreement(0.5, 0.4, 0.6, 40),
)


def front_matter(text):
    return yaml.safe_load(text.split("---\n")[1])


def test_a_card_has_what_a_reader_needs():
    text = card(FACTS, FILES)
    for expected in (
        "1,234 preferences between two responses to one prompt, a snapshot taken on 2026-03-01",
        "| easy | 700 |",
        "| none 1,000, test 234 |",
        "| Qwen/Qwen2.5-0.5B-Instruct | 700 | 600 | apache-2.0 |",
        "| unknown | 534 | 634 | unknown |",
        "| judge tiny (alpaca\\_eval) | 1 | 1,234 |",
        "| person | 2 | 40 |",
        "over 40 labelled pairs of these runs: 0.50 (95 % interval 0.40 to 0.60)",
        "Mean support of a preference: 0.88",
        "`" + "ab" * 32 + "`",
        '| embed.backend | "hashed" |',
        "arXiv:2409.17169",
    ):
        assert expected.replace("|  |", "|") in text, expected
    front = front_matter(text)
    assert front["pretty_name"] == "mine" and front["size_categories"] == ["1K<n<10K"]
    assert front["configs"][0]["data_files"] == [{"split": split, "path": path} for split, path in FILES.items()]


def test_real_is_cited_only_where_its_strategies_selected():
    assert "arXiv:2409.17169" not in card(replace(FACTS, strategies={"random": 3, "hard": 1}), FILES)
    assert "arXiv:2409.17169" in card(replace(FACTS, strategies={"centroid": 1}), FILES)


def test_no_agreement_is_said_to_be_undefined():
    assert "alpha, over 0 labelled pairs of these runs: undefined;" in card(
        replace(FACTS, agreement=Agreement(None, -1, 1, 0)), FILES
    )


@pytest.mark.parametrize(
    "name",
    [
        '"---\nlicense: mit\n---',
        "<script>x</script>",
        "a | b",
        "[x](javascript:1)",
        "# é `x`",
        "*a_b*",
        "&lt;b&gt;",
        "~x~ $y$",
    ],
)
def test_a_name_is_shown_as_it_is(name):
    text = card(replace(FACTS, name=name, sources={name: 1}, models=[ModelUse(name, 1, 1, name)]), FILES)
    assert front_matter(text).keys() == {"pretty_name", "size_categories", "tags", "configs"}
    assert front_matter(text)["pretty_name"] == name
    body = MarkdownIt("commonmark").enable("table").parse(text.split("---\n", 2)[2])
    heading = body[1]
    assert heading.content and "".join(child.content for child in heading.children) == " ".join(name.split())
    assert not any(token.type.startswith("html") for token in body)
    cells = ["".join(c.content for c in one.children) for one in body if one.type == "inline"]
    assert cells.count(" ".join(name.split())) == 4, "heading, model, licence, source"


@pytest.mark.parametrize("mark", ["\x7f", "\x9b", "\ufffe", "\u202e", "\ud800"])
def test_what_yaml_refuses_or_turns_the_writing_round_is_no_part_of_a_card(mark):
    text = card(replace(FACTS, name=f"a{mark}b", sources={f"a{mark}b": 1}), FILES)
    assert front_matter(text)["pretty_name"] == "a\ufffdb" and mark not in text


def test_a_card_is_known_by_its_beginning():
    assert is_card(card(FACTS, FILES))
    assert not is_card("# My project\n\ntags:\n- preference\n- dpo\n- antipode\n") and not is_card("")


def test_a_models_name_does_not_say_where_it_lay():
    for name, shown in [
        ("Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-0.5B"),
        ("gpt-x", "gpt-x"),
        ("/home/anna/models/mine", "mine"),
        ("~/models/mine", "mine"),
        ("./mine", "mine"),
        ("work/models/mine", "mine"),
        ("policy:3", "policy:3"),
    ]:
        assert shown_model(name) == shown


def test_test_splits_have_a_file_of_their_own():
    assert [file_split(one) for one in (None, "train", "validation", "test", "train_2")] == [
        "train",
        "train",
        "test",
        "test",
        "train",
    ]
