"""Trees of messages: flat ones that name their parent, in any order, and nested ones."""

from __future__ import annotations

from typing import Any

import pytest

from models.ingestion.formats import parse_rows, recognised_format, trees
from models.ingestion.rows import SourceError, SourceRow
from models.records import ImportedPair, ImportedResponse, ImportedRow, Message, Prompt, RejectedRow


def message(id_: str, parent: str | None, role: str, rank: int | None = None, **more: Any) -> dict[str, Any]:
    return {"message_id": id_, "parent_id": parent, "role": role, "text": f"text {id_}", "rank": rank, **more}


FLAT = [
    message("1", None, "prompter"),
    message("2", "1", "assistant", 0),
    message("3", "1", "assistant", 1),
    message("4", "2", "prompter"),
    message("5", "4", "assistant"),
]
FIRST_TURN = Prompt((Message("user", "text 1"),))
SECOND_TURN = Prompt((*FIRST_TURN.messages, Message("assistant", "text 2"), Message("user", "text 4")))
RANKED = (ImportedResponse("text 2", score=1.0), ImportedResponse("text 3", score=0.0))
PAIR = (ImportedPair(0, 1, "first"),)


def read(*contents: Any) -> list[ImportedRow | RejectedRow]:
    return list(parse_rows([SourceRow(number, content) for number, content in enumerate(contents, start=1)], "tree"))


def test_every_turn_that_was_answered_is_a_prompt_with_its_ranked_answers() -> None:
    assert recognised_format(FLAT) == "tree"
    assert read(*FLAT) == [
        ImportedRow(1, FIRST_TURN, RANKED, PAIR),
        ImportedRow(4, SECOND_TURN, (ImportedResponse("text 5"),)),
    ]


def test_flat_messages_may_come_in_any_order() -> None:
    rows = [row for row in read(*reversed(FLAT)) if isinstance(row, ImportedRow)]
    assert [(row.row_number, row.prompt) for row in rows] == [(2, SECOND_TURN), (5, FIRST_TURN)]
    assert {response.text for response in rows[1].responses} == {"text 2", "text 3"}


def nested(id_: str) -> dict[str, Any]:
    (found,) = [one for one in FLAT if one["message_id"] == id_]
    replies = [nested(one["message_id"]) for one in FLAT if one["parent_id"] == id_]
    return {"text": found["text"], "role": found["role"], "rank": found["rank"], "replies": replies}


def test_a_nested_tree_gives_the_same_rows_numbered_as_they_come() -> None:
    tree = {"message_tree_id": "1", "tree_state": "ready", "prompt": nested("1")}
    assert recognised_format([tree]) == recognised_format([nested("1")]) == "tree"
    for content in (tree, nested("1")):
        rows = read(content, content)
        assert [row.row_number for row in rows] == [1, 2, 3, 4]
        assert rows[:2] == [
            ImportedRow(1, FIRST_TURN, RANKED, PAIR),
            ImportedRow(2, SECOND_TURN, (ImportedResponse("text 5"),)),
        ]


def test_messages_without_their_parent_deleted_ones_and_circles_are_refused() -> None:
    rows = read(
        message("1", None, "prompter", deleted=True),
        message("2", "1", "assistant"),
        message("3", "4", "prompter"),
        message("4", "3", "assistant"),
        message("5", None, "narrator"),
        {"parent_id": 5},
    )
    assert all(isinstance(row, RejectedRow) for row in rows) and len(rows) == 6
    reasons = {row.row_number: row.reason for row in rows if isinstance(row, RejectedRow)}
    assert reasons[1] == "the message is deleted"
    assert reasons[2] == "column 'parent_id': no message '1' in the source"
    assert reasons[3] == reasons[4] == "column 'parent_id': the message answers itself, by way of others"
    assert "unknown role text 'narrator'" in reasons[5] and "column 'text' is missing" in reasons[6]


def test_more_messages_than_are_held_are_refused_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "MOST_MESSAGES", 4)
    with pytest.raises(SourceError, match="import the file in parts, each with whole trees"):
        read(*FLAT)


def test_of_a_tree_deeper_than_the_interpreter_the_first_turns_are_read() -> None:
    tree: dict[str, Any] = {"text": "end", "role": "assistant", "replies": []}
    for depth in range(2_999):
        tree = {"text": str(depth), "role": "prompter" if depth % 2 == 0 else "assistant", "replies": [tree]}
    rows = read(tree)
    assert len(rows) == 1_500 and sum(isinstance(row, ImportedRow) for row in rows) == 100
    assert isinstance(rows[-1], RejectedRow) and rows[-1].reason == "more than 200 turns stand before the answers"


def test_the_first_message_of_a_tree_may_lack_the_column_of_its_parent() -> None:
    first = {name: value for name, value in FLAT[0].items() if name not in ("parent_id", "rank")}
    assert read(first, *FLAT[1:3]) == [ImportedRow(1, FIRST_TURN, RANKED, PAIR)]
