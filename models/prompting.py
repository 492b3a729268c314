"""A prompt as the token ids a causal model continues: chat template where there is one, plain text for base models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from models.errors import ModelLoadError, PromptTooLongError
from models.plain_weights import NO_CODE, why_not_loaded
from models.records import Message, Prompt, shortened
from models.thoughts import MARKS, composed, continued, opened_mark, parted, template_marks

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_MARK_TOKENS = max(len(opening.encode()) for opening, _ in MARKS) + 4  # no token is less than a byte; blanks follow
_TURN_NAMES = {"user": "Human", "assistant": "Assistant", "system": "System", "tool": "Tool"}


def load_tokenizer(model: str, *, revision: str | None) -> PreTrainedTokenizerBase:
    """The tokenizer of a model on the hub or in a folder.

    Raises:
        ModelLoadError: There is none, or its files cannot be read.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(model, revision=revision, **NO_CODE)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelLoadError(model, f"no tokenizer: {why_not_loaded(error)}") from error


def with_system_prompt(prompt: Prompt, system_prompt: str | None) -> tuple[Message, ...]:
    """The prompt's messages behind the system prompt; a prompt that begins with its own system message keeps it.

    So `system_prompt` speaks to the prompts that bring none, and a data set may mix both kinds.
    """
    if system_prompt is None or prompt.messages[0].role == "system":
        return prompt.messages
    return (Message("system", system_prompt), *prompt.messages)


def without_system_message(prompt: Prompt) -> Prompt:
    """The prompt without its system messages: what is asked, whoever is told to answer it; itself if it is no more."""
    asked = tuple(message for message in prompt.messages if message.role != "system")
    return Prompt(asked) if asked else prompt


def render_prompt(
    tokenizer: PreTrainedTokenizerBase,
    prompt: Prompt,
    *,
    system_prompt: str | None,
    template_arguments: Mapping[str, Any] | None = None,
) -> list[int]:
    """The token ids to continue.

    With a chat template: the template's text with the opening of the assistant's turn. Without: `plain_text`, in which
    nothing is read as a special token. Either way there is exactly one BOS in front if the tokenizer adds one by
    default or the template writes one, else none. What the template is given beside the dialogue, and does not ask for,
    changes nothing.

    Raises:
        ValueError: The template refuses the dialogue, or the prompt has no token at all.
    """
    messages = with_system_prompt(prompt, system_prompt)
    if tokenizer.chat_template is None:
        ids = tokenizer(plain_text(messages), add_special_tokens=False, split_special_tokens=True)["input_ids"]
    else:
        ids = tokenizer(_chat_text(tokenizer, messages, template_arguments or {}), add_special_tokens=False)[
            "input_ids"
        ]
    ids = _with_one_bos(tokenizer, ids)
    if not ids:
        raise ValueError("a prompt needs at least one token, this one is empty; drop it or set a system prompt")
    return ids


def opened_thought(tokenizer: PreTrainedTokenizerBase, prompt_ids: Sequence[int]) -> str | None:
    """The mark with which the chat template opened a thought at the end of a rendered prompt; None if it did not."""
    if tokenizer.chat_template is None:
        return None
    return opened_mark(str(tokenizer.decode(prompt_ids[-_MARK_TOKENS:])))


def read_together(
    tokenizer: PreTrainedTokenizerBase, prompt_ids: list[int], responses: Sequence[tuple[str | None, str]]
) -> tuple[list[int], list[str]]:
    """The prompt's ids and the responses' texts as a model reads them, with exactly one opening before a thought.

    A thought is written by the marks of the chat template. Where the template opens one at the end of the prompt, the
    responses go on within it; if none of them has a thought, the prompt closes it at once, as such templates do for
    `enable_thinking` false. A thought that was stored in the answer, as versions before did, is told apart first.

    Args:
        tokenizer: Of the model.
        prompt_ids: As `render_prompt` gives them.
        responses: Thought (None without one) and answer of each; an answer that is empty was not reached.
    """
    opening = opened_thought(tokenizer, prompt_ids)
    if opening is None:
        marks = template_marks(tokenizer.chat_template)
        return prompt_ids, [composed(thought, answer, marks=marks) for thought, answer in responses]
    marks = (opening, dict(MARKS)[opening])
    responses = [_told_apart(thought, answer, marks) for thought, answer in responses]
    if all(thought is None for thought, _ in responses):
        closing = tokenizer(continued(None, "", marks=marks), add_special_tokens=False)["input_ids"]
        return [*prompt_ids, *closing], [answer for _, answer in responses]
    return prompt_ids, [continued(thought, answer, marks=marks) for thought, answer in responses]


def _told_apart(thought: str | None, answer: str, marks: tuple[str, str]) -> tuple[str | None, str]:
    opening, closing = marks
    is_within = closing in answer and (opening not in answer or answer.lstrip().startswith(opening))
    if thought is not None or not is_within:
        return thought, answer
    parts = parted(answer, opened_by=opening)
    return parts.thought, parts.answer


def plain_text(messages: Sequence[Message]) -> str:
    r"""The dialogue for a model without chat template.

    A single turn is its bare text. Several turns are written as "\n\nHuman: …\n\nAssistant: …" and end with
    "\n\nAssistant:". A leading system message stands in front, as bare text.
    """
    head = [messages[0].content] if messages[0].role == "system" else []
    turns = messages[len(head) :]
    if len(turns) == 1:
        return "\n\n".join([*head, turns[0].content])
    dialogue = "".join(f"\n\n{_TURN_NAMES[turn.role]}: {turn.content}" for turn in turns)
    return "".join([*head, dialogue, "\n\nAssistant:"])


def check_lengths(prompts: Sequence[Prompt], token_counts: Sequence[int], *, max_tokens: int, limit: int) -> None:
    """Refuse prompts whose tokens plus `max_tokens` response tokens exceed the context of `limit` tokens.

    Engines would cut the prompt, or end the response early, without a word.

    Raises:
        PromptTooLongError: With the positions of all prompts that do not fit.
    """
    positions = tuple(position for position, count in enumerate(token_counts) if count + max_tokens > limit)
    if not positions:
        return
    first = positions[0]
    raise PromptTooLongError(
        f"{len(positions)} of {len(prompts)} prompts leave no room for {max_tokens} response tokens in a context of "
        f"{limit} tokens; the first has {token_counts[first]} tokens: {shortened(prompts[first].text, 80)!r}; leave "
        "them out, lower max_tokens, or raise the context where the model allows it",
        positions,
    )


def _chat_text(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], arguments: Mapping[str, Any]) -> str:
    from jinja2 import TemplateError

    turns = [{"role": message.role, "content": message.content} for message in messages]
    try:
        return str(
            tokenizer.apply_chat_template(turns, **{**arguments, "add_generation_prompt": True, "tokenize": False})
        )
    except TemplateError as error:
        roles = ", ".join(message.role for message in messages)
        raise ValueError(
            f"the chat template refuses a dialogue of the roles {roles}: {error}; many templates know no system role "
            "(then unset system_prompt) or want user and assistant to alternate"
        ) from error


def _with_one_bos(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> list[int]:
    bos = tokenizer.bos_token_id
    if bos is None:
        return ids
    start = next((position for position, token in enumerate(ids) if token != bos), len(ids))
    is_used = start > 0 or tokenizer("")["input_ids"][:1] == [bos]
    return [bos, *ids[start:]] if is_used else ids
