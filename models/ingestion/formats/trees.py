"""Trees of messages (OpenAssistant): every turn of the user's that was answered gives a prompt and its responses.

A tree is one nested object a row, or flat messages that name their parent. Flat ones are held in memory until the
source ends, since a reply may stand anywhere behind what it answers; so many and no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from models.ingestion.dialogues import prompt_from_messages, role_of
from models.ingestion.fields import (
    Row,
    RowError,
    is_missing,
    optional_number,
    optional_text,
    present_column,
    storable_text,
)
from models.ingestion.formats.answers import pairs_of_ranks, scores_of_ranks
from models.ingestion.formats.records import Format
from models.ingestion.rows import SourceError, SourceRecord, SourceRow, rejected
from models.records import ImportedResponse, ImportedRow, Message, RejectedRow

MOST_MESSAGES = 200_000  # OpenAssistant's second release has 135,000
MOST_TURNS = 200  # of a dialogue: each of its prompts repeats what stands before it
MOST_CHARACTERS = 2**28  # of all messages together

_MESSAGE_COLUMNS = ("message_id", "parent_id", "role", "text")


@dataclass(slots=True)
class _Node:
    """A message of a tree, and what answers it."""

    row: SourceRow
    message: Message
    rank: float | None
    model: str | None
    parent: _Node | None = None
    replies: list[_Node] = field(default_factory=list)

    @property
    def path(self) -> list[Message]:
        """All messages from the tree's first to this one.

        Raises:
            RowError: they are more than a dialogue may have.
        """
        messages, node = [self.message], self.parent
        while node is not None:
            if len(messages) == MOST_TURNS:
                raise RowError(f"more than {MOST_TURNS} turns stand before the answers")
            messages.append(node.message)
            node = node.parent
        return messages[::-1]


def is_tree(row: Row) -> bool:
    """Whether rows are flat messages, or nested trees."""
    root = row.get("prompt")
    is_nested = isinstance(row.get("replies"), list) or (isinstance(root, Mapping) and "replies" in root)
    return is_nested or all(column in row for column in _MESSAGE_COLUMNS)


def tree_rows(records: Iterable[SourceRecord]) -> Iterator[ImportedRow | RejectedRow]:
    """Yield a row for each message of the user's that has answers of the assistant's, and what was rejected.

    Rows of flat messages have the number of the user's message; those of nested trees are numbered as they come, since
    one tree gives several.

    Raises:
        SourceError: the flat messages are more than are held at once.
    """
    flat: dict[str, tuple[_Node, str | None]] = {}
    number = characters = 0
    for record in records:
        if isinstance(record, RejectedRow):
            yield record
        elif isinstance(record.content, Mapping) and _is_flat(record.content):
            try:
                node = _node(record, record.content)
                flat[_id_of(record.content)] = node, optional_text(record.content, "parent_id", "column 'parent_id'")
            except RowError as problem:
                yield rejected(record, str(problem))
                continue
            characters += len(node.message.content)
            if len(flat) > MOST_MESSAGES or characters > MOST_CHARACTERS:
                raise SourceError(
                    f"trees of more than {MOST_MESSAGES:,} messages or {MOST_CHARACTERS // 2**20} Mi characters cannot "
                    "be held at once; import the file in parts, each with whole trees"
                )
        else:
            for row in _nested_rows(record, number):
                number += isinstance(row, ImportedRow)
                yield row
    yield from _flat_rows(flat)


def _is_flat(message: Row) -> bool:
    """Whether it is one of flat messages; the first of a tree may lack `parent_id` (OpenAssistant's own exports)."""
    has_id = "message_id" in message or "parent_id" in message
    return has_id and "replies" not in message and not isinstance(message.get("prompt"), Mapping)


def _node(row: SourceRow, message: Row) -> _Node:
    if message.get("deleted") is True:
        raise RowError("the message is deleted")
    text = storable_text(message[present_column(message, ("text",))], "column 'text'")
    role = role_of(message[present_column(message, ("role",))], "column 'role'")
    rank = optional_number(message, "rank", "column 'rank'")
    return _Node(row, Message(role, text), rank, optional_text(message, "model_name", "column 'model_name'"))


def _id_of(message: Row) -> str:
    return storable_text(message[present_column(message, ("message_id",))], "column 'message_id'")


def _flat_rows(flat: Mapping[str, tuple[_Node, str | None]]) -> Iterator[ImportedRow | RejectedRow]:
    for node, parent_id in flat.values():
        if parent_id is None:
            continue
        if parent_id not in flat:
            yield rejected(node.row, f"column 'parent_id': no message {parent_id!r} in the source")
            continue
        node.parent = flat[parent_id][0]
        node.parent.replies.append(node)
    for node, _ in flat.values():
        if _is_in_circle(node):
            yield rejected(node.row, "column 'parent_id': the message answers itself, by way of others")
        else:
            yield from _row_of(node, node.row.row_number)


def _is_in_circle(node: _Node) -> bool:
    slow, fast = node.parent, node.parent.parent if node.parent else None
    while slow is not None and fast is not None:
        if slow is fast:
            return True
        slow, fast = slow.parent, fast.parent.parent if fast.parent else None
    return False


def _nested_rows(row: SourceRow, number: int) -> Iterator[ImportedRow | RejectedRow]:
    content = row.content
    nested = content.get("prompt") if isinstance(content, Mapping) else None
    root = nested if isinstance(nested, Mapping) else content
    if not isinstance(root, Mapping) or "text" not in root:
        yield rejected(row, "expected a tree: an object with 'text', 'role' and 'replies', or one under 'prompt'")
        return
    waiting: list[tuple[Row, _Node | None]] = [(root, None)]
    nodes: list[_Node] = []
    while waiting:
        message, parent = waiting.pop()
        try:
            node = _node(row, {"role": "user", **message} if parent is None else message)
            replies = [] if is_missing(message.get("replies")) else message["replies"]
            if not isinstance(replies, list) or not all(isinstance(reply, Mapping) for reply in replies):
                raise RowError("'replies': expected a list of messages")
        except RowError as problem:
            yield rejected(row, str(problem))
            continue
        node.parent = parent
        if parent is not None:
            parent.replies.append(node)
        nodes.append(node)
        waiting.extend((reply, node) for reply in reversed(replies))
    for node in nodes:
        for found in _row_of(node, number + 1):
            number += isinstance(found, ImportedRow)
            yield found


def _row_of(node: _Node, number: int) -> Iterator[ImportedRow | RejectedRow]:
    answers = [reply for reply in node.replies if reply.message.role == "assistant"]
    if node.message.role != "user" or not answers:
        return
    try:
        prompt = prompt_from_messages(node.path, "the tree")
        ranks = [answer.rank for answer in answers]
        pairs = pairs_of_ranks(ranks)
    except RowError as problem:
        yield rejected(node.row, str(problem))
        return
    responses = tuple(
        ImportedResponse(answer.message.content, model=answer.model, score=score)
        for answer, score in zip(answers, scores_of_ranks(ranks), strict=True)
    )
    yield ImportedRow(number, prompt, responses, pairs, node.row.split)


TREE = Format(
    name="tree",
    known_from="OpenAssistant: flat messages, or nested trees",
    becomes="for each turn of the user's that was answered a prompt with its answers; of ranked ones every pair. At "
    f"most {MOST_MESSAGES:,} flat messages",
    columns={
        "message": ("text",),
        "role": ("role",),
        "its id": ("message_id",),
        "the message it answers": ("parent_id",),
        "rank among the answers": ("rank",),
        "model": ("model_name",),
        "nested answers": ("replies",),
        "nested tree": ("prompt",),
        "whether it is deleted": ("deleted",),
    },
    fits=is_tree,
    parse=None,
    examples=(
        {"message_id": "2", "parent_id": "1", "role": "assistant", "text": "Iron oxide.", "rank": 0},
        {"text": "What is rust?", "role": "prompter", "replies": [{"text": "Iron oxide.", "role": "assistant"}]},
    ),
)
