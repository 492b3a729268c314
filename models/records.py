"""Frozen records: the words every layer shares. Knows no database, no engine, no file format."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, cast

import orjson

_CANONICAL = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)
_PLAIN = frozenset((str, int, bool, type(None)))
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # what databases refuse
MAX_ID = 2**63 - 1  # what the databases hold
REJECTED_TEXT = 2_000  # characters of a rejected row that are shown
MAX_CANDIDATES = 64  # responses of one prompt that pairs are selected from
MAX_PAIRS = MAX_CANDIDATES * (MAX_CANDIDATES - 1) // 2  # of one prompt

Role = Literal["system", "user", "assistant", "tool"]
Side = Literal["first", "second"]
SourceVerdict = Literal["first", "second", "tie", "both_bad"]
FinishReason = Literal["stop", "length"]
Embedded = Literal["responses", "prompts"]  # what has vectors
Strategy = str  # the name of one, as `STRATEGY_PATTERN` says: shipped (models.selection), or a user's own
STRATEGY_PATTERN = r"[A-Za-z][A-Za-z0-9_.\-]{0,99}"


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a dialogue."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a response answers: a dialogue whose last turn is the user's or a tool's. A plain prompt is one turn."""

    messages: tuple[Message, ...]

    @classmethod
    def from_text(cls, text: str) -> Prompt:
        """Wrap a plain prompt text as the single user turn of a dialogue."""
        return cls((Message("user", text),))

    @property
    def text(self) -> str:
        """The prompt as a person reads it: the bare text of a single turn, else the turns with their roles."""
        if len(self.messages) == 1:
            return self.messages[0].content
        return "\n\n".join(f"{message.role.capitalize()}: {message.content}" for message in self.messages)

    @property
    def key(self) -> str:
        """Content hash (64 hex digits): the prompt's natural key."""
        return content_key([[message.role, message.content] for message in self.messages])

    @property
    def first_turn_key(self) -> str:
        """The key of the first thing the user says, as a prompt of its own: dialogues that begin alike share it.

        A system message is no part of it: a question is the same question under another one.
        """
        first = next((message.content for message in self.messages if message.role == "user"), None)
        return self.key if first is None or len(self.messages) == 1 else Prompt.from_text(first).key


@dataclass(frozen=True, slots=True)
class ImportedResponse:
    """A response that came with its prompt; None where the source says nothing.

    Attributes:
        score: the source's overall score, larger is better. Scores of one row are on one scale.
        ratings: the scores by attribute, where the source has several (helpfulness, verbosity, …).
        is_desirable: what a person said of this response alone (KTO's label), its score is then 1 or 0.
        thought: what its model wrote before it answered, where the source has it in a column of its own.
    """

    text: str
    model: str | None = None
    score: float | None = None
    is_reference: bool = False
    ratings: Mapping[str, float] | None = None
    is_desirable: bool | None = None
    thought: str | None = None


@dataclass(frozen=True, slots=True)
class ImportedPair:
    """A pair the source already made: positions of two responses of the row, and which one it prefers, if it says.

    `criterion`: by what they were compared, where the source has several ("better", "safer"); empty for the one there
    is. `strength`: how strongly, the grade over the highest grade of the scale (0 to 1, 0 excluded); None if not said.
    """

    first: int
    second: int
    preferred: SourceVerdict | None = None
    criterion: str = ""
    strength: float | None = None


@dataclass(frozen=True, slots=True)
class ImportedRow:
    """One row of a source that fits: a prompt with the responses and pairs it brought.

    `notes`: what was left out or changed in reading it, a sentence each, the same for every row it happens to.
    """

    row_number: int
    prompt: Prompt
    responses: tuple[ImportedResponse, ...] = ()
    pairs: tuple[ImportedPair, ...] = ()
    split: str | None = None
    notes: tuple[str, ...] = ()


class FolderFile(NamedTuple):
    """A file in a folder that is imported.

    `split`: what its rows are of, where it says; `may_be_data`: it is not read, though its name is that of a data file.
    """

    name: str
    is_read: bool
    split: str | None = None
    may_be_data: bool = False


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """One row of a source that does not fit, and why. `row_number` counts from 1 (the line, for line-based files).

    Of a long content the beginning is kept, with an ellipsis: who sets rows aside must not hold what was too large.
    """

    row_number: int
    reason: str
    content: str

    def __post_init__(self) -> None:
        """Cut what is long."""
        for name in ("reason", "content"):
            text: str = getattr(self, name)
            if len(text) > REJECTED_TEXT:
                object.__setattr__(self, name, text[: REJECTED_TEXT - 1] + "…")


@dataclass(frozen=True, slots=True)
class SamplingParameters:
    """How a generator samples. `max_tokens` counts response tokens; `top_p` and `temperature` as in vLLM.

    `form`: what of a server's form of request can change a sample, None for the usual one. `template_arguments`: what
    the chat template is given beside the dialogue, such as `enable_thinking`.
    """

    temperature: float
    top_p: float
    max_tokens: int
    stop: tuple[str, ...]
    system_prompt: str | None
    form: Mapping[str, Any] | None = None
    template_arguments: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A prompt and one seed per response wanted."""

    prompt: Prompt
    seeds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class GeneratedResponse:
    """One sampled response: its text without special tokens and stop strings, and how it came to an end.

    `token_count` is None where a server gives no credible number; it counts the thought's tokens too. `text` is the
    answer, without the thought before it; it is empty where sampling ended within the thought. `thought` is None where
    the model shows none.
    """

    text: str
    seed: int
    token_count: int | None
    finish_reason: FinishReason
    thought: str | None = None


class StoredPrompt(NamedTuple):
    """A prompt with its row's id."""

    id: int
    prompt: Prompt


class StoredResponse(NamedTuple):
    """A response with its row's id and its prompt, as the embedding step reads it."""

    id: int
    prompt: Prompt
    text: str
    thought: str | None = None


@dataclass(frozen=True, slots=True)
class GeneratorIdentity:
    """What makes a generator the same: engine or server, model and its content, sampling, run seed."""

    backend: str
    model: str | None
    fingerprint: str | None = None
    parameters: SamplingParameters | None = None
    seed: int | None = None
    dtype: str | None = None
    base_url: str | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """All of it as JSON; what was not asked for is left out of the parameters, as it was before one could."""
        settings = asdict(self)
        for name in ("form", "template_arguments"):
            if settings["parameters"] and settings["parameters"][name] is None:
                del settings["parameters"][name]
        return settings

    @property
    def key(self) -> str:
        """Content hash: the generator's natural key."""
        return content_key(self.settings)


@dataclass(frozen=True, slots=True)
class EmbedderIdentity:
    """What makes an embedder the same: engine, model and its content, what it reads and where it cuts."""

    backend: str
    model: str
    fingerprint: str
    context: str
    max_tokens: int
    dtype: str

    @property
    def key(self) -> str:
        """Content hash: the embedder's natural key, and the name of its folder of vectors."""
        return content_key(asdict(self))


class VectorLocation(NamedTuple):
    """A candidate that can be paired, and where its vector lies in the vector store."""

    prompt_id: int
    response_id: int
    shard: str
    row: int


@dataclass(frozen=True, slots=True)
class Pair:
    """Two responses of one prompt selected for a label, `first_response_id < second_response_id`.

    `rank` counts the prompt's pairs from the least similar (1) to the most similar (`pair_count`).
    """

    strategy: str
    prompt_id: int
    first_response_id: int
    second_response_id: int
    similarity: float
    rank: int
    pair_count: int


def content_key(*parts: object) -> str:
    """SHA-256 (64 hex digits) of the parts' canonical JSON: the one way natural keys are made."""
    return hashlib.sha256(_canonical(parts)).hexdigest()


def numbered_keys(parts: Sequence[object], numbers: Iterable[int]) -> list[str]:
    """`content_key(*parts, number)` of each number; the parts, at least one, are written and hashed once."""
    begun = hashlib.sha256(_canonical(tuple(parts))[:-1])
    keys = []
    for number in numbers:
        digest = begun.copy()
        digest.update(b",%d]" % number)
        keys.append(digest.hexdigest())
    return keys


def list_key(items: Iterable[object]) -> str:
    """`content_key` of the list of these items, of which one is written at a time."""
    digest = hashlib.sha256(b"[[")
    for at, item in enumerate(items):
        digest.update(b"," * (at > 0) + _canonical((item,))[1:-1])
    digest.update(b"]]")
    return digest.hexdigest()


def plain(value: object) -> object:
    """Records as JSON takes them: named tuples as objects, so that a reader need not count, tuples as lists."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())
    return [plain(part) for part in value] if isinstance(value, tuple | list) else value


def shortened(text: str, width: int) -> str:
    """The text on one line, cut to `width` characters with an ellipsis."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


def is_storable(text: str) -> bool:
    """Whether a text has nothing that databases refuse; without `UNSTORABLE`, whose search takes ten times as long."""
    if "\x00" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def storable(text: str) -> str:
    """The text with U+FFFD in place of what databases refuse: NUL characters and lone surrogates."""
    return text if is_storable(text) else UNSTORABLE.sub("\ufffd", text)


def _canonical(parts: tuple[object, ...]) -> bytes:
    """Canonical JSON of the parts.

    Of texts and numbers orjson writes the same ten times as fast; very small and very large floats it writes in another
    form, lone surrogates and integers beyond 64 bits not at all.
    """
    if _is_plain(parts):
        try:
            return orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)
        except orjson.JSONEncodeError:
            pass
    return _CANONICAL.encode(parts).encode("utf-8", "surrogatepass")


def _is_plain(parts: Iterable[object]) -> bool:
    """Whether there are only texts, common numbers, truth values and nulls, and lists and objects of them."""
    for part in parts:  # noqa: SIM110 (`all` with a generator takes twice as long)
        if type(part) not in _PLAIN and not _is_alike(part):
            return False
    return True


def _is_alike(part: object) -> bool:
    """Whether orjson writes a float, a list or an object as Python does."""
    if type(part) is float:
        return 1e-4 <= part < 1e16 or part == 0
    if type(part) is dict:
        return all(type(name) is str for name in part) and _is_plain(part.values())
    return type(part) in {list, tuple} and _is_plain(cast("Sequence[object]", part))


def first_of_equals(texts: Sequence[str]) -> list[int]:
    """For each text the position of the first equal one: its own position if it is no duplicate."""
    first_positions: dict[str, int] = {}
    return [first_positions.setdefault(text, position) for position, text in enumerate(texts)]
