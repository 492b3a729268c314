"""Examples to token ids: the prompt as it is generated from, each response that ended with its end. Knows no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.alignment.records import Example, ScoreRequest, UnfitExample
from models.prompting import opened_thought, read_together, render_prompt
from models.records import Prompt, content_key, shortened

# A turn the template is asked to write, to see what it puts after it; no template changes a plain word.
_TURN = "antipode"


@dataclass(frozen=True, slots=True)
class TokenizedExample:
    """The ids of one example: the prompt's, and each response's with its end if it ended; no rejected ids for SFT."""

    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int] | None


def tokenize_examples(
    tokenizer: Any, examples: Sequence[Example], *, max_length: int
) -> tuple[dict[int, TokenizedExample], list[UnfitExample]]:
    """Tokenise examples: those that fit by their position in the list given, and those that do not, with the reason.

    The prompt is `render_prompt`'s, and stands with the responses as `read_together` says. A response is encoded on its
    own, a special token written out in its text as the plain characters it is, and followed by `end_ids` unless it was
    cut when it was sampled: an end that nobody sampled would teach to stop in the middle of a sentence. Nothing is cut
    here. An example does not fit if the chat template refuses its prompt, a response is empty, chosen and rejected are
    the same, or prompt and response together have more than `max_length` tokens.

    Raises:
        ValueError: The tokenizer has no token that ends a response.
    """
    end = end_ids(tokenizer)
    special = _special_ids(tokenizer)
    prompts = {prompt: _prompt_ids(tokenizer, prompt) for prompt in {example.prompt for example in examples}}
    read = [_read(tokenizer, prompts[example.prompt], _responses(example)) for example in examples]
    responses = _response_ids(tokenizer, [text for _, texts in read for text in texts])
    fitting: dict[int, TokenizedExample] = {}
    unfit: list[UnfitExample] = []
    for position, (example, (prompt, read_texts)) in enumerate(zip(examples, read, strict=True)):
        texts = _texts(example)
        encoded = {side: responses[text] for side, text in zip(texts, read_texts, strict=True)}
        is_cut = {"chosen": example.is_chosen_cut, "rejected": example.is_rejected_cut}
        sides = {side: [*ids, *([] if is_cut[side] else end)] for side, ids in encoded.items()}
        reason = (
            prompt
            if isinstance(prompt, str)
            else _response_fault(tokenizer, texts, encoded, special=special)
            or _length_fault(len(prompt), sides, max_length=max_length)
        )
        if isinstance(prompt, str) or reason is not None:
            unfit.append(UnfitExample(position, str(reason)))
        else:
            fitting[position] = TokenizedExample(prompt, sides["chosen"], sides.get("rejected"))
    return fitting, unfit


def tokenize_samples(
    tokenizer: Any, samples: Sequence[ScoreRequest], *, max_length: int
) -> dict[int, TokenizedExample]:
    """Tokenise what a model sampled, by position in the list given: with its end if it ended, as far as it fits.

    A sample of more than `max_length` tokens with its prompt is scored up to there, one that ended at once by its end
    alone: what is left out depends on the prompt only, so that means over samples stay means over the model's own
    distribution. Without a token are samples whose prompt leaves no room or is refused, and those cut without a text;
    they are left out.

    Raises:
        ValueError: The tokenizer has no token that ends a response.
    """
    end = end_ids(tokenizer)
    prompts = {prompt: _prompt_ids(tokenizer, prompt) for prompt in {sample.prompt for sample in samples}}
    read = [_read(tokenizer, prompts[sample.prompt], [(sample.thought, sample.text)]) for sample in samples]
    responses = _response_ids(tokenizer, [text for _, (text,) in read])
    fitting: dict[int, TokenizedExample] = {}
    for position, (sample, (prompt, (text,))) in enumerate(zip(samples, read, strict=True)):
        if isinstance(prompt, str):
            continue
        ids = [*responses[text], *([] if sample.is_cut else end)][: max(0, max_length - len(prompt))]
        if ids:
            fitting[position] = TokenizedExample(prompt, ids, None)
    return fitting


def end_ids(tokenizer: Any) -> list[int]:
    """What ends a response: what the chat template writes after an assistant's turn, up to its first special token.

    That is <|im_end|> for Qwen and <|eot_id|> for Llama 3, which need not be the tokenizer's `eos_token`. Without a
    template, or if it ends the turn with no special token, it is `eos_token`.

    Raises:
        ValueError: There is no such token either, or the template does not write the assistant's turn.
    """
    special = _special_ids(tokenizer)
    tail = [] if tokenizer.chat_template is None else _turn_end(tokenizer)
    first_special = next((place for place, token in enumerate(tail) if token in special), None)
    if first_special is not None:
        return tail[: first_special + 1]
    if tokenizer.eos_token_id is None:
        raise ValueError(
            "training needs a token that ends a response; this tokenizer has no eos_token and its chat template "
            f"{'is not set' if tokenizer.chat_template is None else 'ends a turn without a special token'}; "
            "set tokenizer.eos_token or a chat template and save the tokenizer"
        )
    return [tokenizer.eos_token_id]


def template_key(tokenizer: Any) -> str:
    """Content hash of what surrounds a text in training: chat template, BOS and end; the key of stored log-probs.

    Raises:
        ValueError: As `end_ids`.
    """
    prompt = _prompt_ids(tokenizer, Prompt.from_text(_TURN))
    opens_thought = not isinstance(prompt, str) and opened_thought(tokenizer, prompt) is not None
    closed = ["closes the thought that it opens"] if opens_thought else []  # versions before let it stand open
    return content_key(tokenizer.chat_template, tokenizer.bos_token_id, end_ids(tokenizer), *closed)


def _texts(example: Example) -> dict[str, str]:
    return {"chosen": example.chosen} | ({} if example.rejected is None else {"rejected": example.rejected})


def _responses(example: Example) -> list[tuple[str | None, str]]:
    """Thought and answer of each of an example's responses."""
    thoughts = {"chosen": example.chosen_thought, "rejected": example.rejected_thought}
    return [(thoughts[side], text) for side, text in _texts(example).items()]


def _read(
    tokenizer: Any, prompt: list[int] | str, responses: Sequence[tuple[str | None, str]]
) -> tuple[list[int] | str, list[str]]:
    """The prompt's ids, or why there are none, and the responses' texts as the model reads them."""
    if isinstance(prompt, str):
        return prompt, [answer for _, answer in responses]
    return read_together(tokenizer, prompt, responses)


def _prompt_ids(tokenizer: Any, prompt: Prompt) -> list[int] | str:
    """The prompt's ids, or why there are none."""
    try:
        return render_prompt(tokenizer, prompt, system_prompt=None)
    except ValueError as error:
        return str(error)


def _response_ids(tokenizer: Any, texts: list[str]) -> dict[str, list[int]]:
    if not texts:
        return {}
    unique = list(dict.fromkeys(texts))
    encoded = tokenizer(
        unique, add_special_tokens=False, split_special_tokens=True, return_attention_mask=False, verbose=False
    )
    return dict(zip(unique, encoded["input_ids"], strict=True))


def _response_fault(
    tokenizer: Any, texts: dict[str, str], encoded: dict[str, list[int]], *, special: set[int]
) -> str | None:
    """What is wrong with the responses, given their tokens without an end; None if nothing is."""
    for side, text in texts.items():
        ids = encoded[side]
        if not ids or not text.strip():
            return f"the {side} response is empty ({len(text)} characters, {len(ids)} tokens)"
        if special_tokens := [token for token in ids if token in special]:
            # Some vocabularies (unigram) can spell a special token from plain text; a second end would teach to stop.
            return (
                f"the {side} response's text is encoded with {len(special_tokens)} special tokens, "
                f"{tokenizer.convert_ids_to_tokens(special_tokens[0])!r} first; take them out of the text"
            )
    if len(encoded) == 2 and encoded["chosen"] == encoded["rejected"]:
        return f"chosen and rejected are the same {len(encoded['chosen'])} tokens: {shortened(texts['chosen'], 60)!r}"
    return None


def _length_fault(prompt_length: int, sides: dict[str, list[int]], *, max_length: int) -> str | None:
    side = max(sides, key=lambda name: len(sides[name]))
    total = prompt_length + len(sides[side])
    if total <= max_length:
        return None
    return f"prompt ({prompt_length}) and {side} response ({len(sides[side])}) have {total} tokens, over {max_length}"


def _turn_end(tokenizer: Any) -> list[int]:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": _TURN}]
    text = str(tokenizer.apply_chat_template(turns, tokenize=False))
    _, mark, tail = text.rpartition(_TURN)
    if not mark:
        raise ValueError(
            f"the chat template does not write an assistant's turn: {_TURN!r} became {shortened(text, 200)!r}; "
            "give the tokenizer a chat template that does"
        )
    return list(tokenizer(tail, add_special_tokens=False)["input_ids"])


def _special_ids(tokenizer: Any) -> set[int]:
    """Every special token but the one for unknown characters, which is text."""
    added = {token for token, content in tokenizer.added_tokens_decoder.items() if content.special}
    return (added | set(tokenizer.all_special_ids)) - {tokenizer.unk_token_id}
