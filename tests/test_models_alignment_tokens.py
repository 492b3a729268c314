"""Examples to ids on tiny byte-level tokenizers made on the spot, one for each way templates end a turn."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.alignment.records import Example, ScoreRequest
from models.alignment.tokens import TokenizedExample, end_ids, template_key, tokenize_examples, tokenize_samples
from models.prompting import render_prompt
from models.records import Message, Prompt, content_key

SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|eot_id|>", "<|endoftext|>"]
LOOP = "{% for m in messages %}"
QWEN = (
    LOOP + "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA_3 = (
    "{{ bos_token }}" + LOOP + "{{ m['role'] + ': ' + m['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
ZEPHYR = (
    LOOP + "{{ m['role'] + '\n' + m['content'] + eos_token + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant\n' }}{% endif %}"
)
PLAIN_END = LOOP + "{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
# name: template, bos_token, eos_token, is the BOS in front, the end
KINDS = {
    "qwen": (QWEN, None, "<|endoftext|>", False, "<|im_end|>"),
    "llama-3": (LLAMA_3, "<s>", "<|endoftext|>", True, "<|eot_id|>"),
    "zephyr": (ZEPHYR, "<s>", "</s>", False, "</s>"),
    "no special token in the template": (PLAIN_END, "<s>", "</s>", False, "</s>"),
    "no template": (None, "<s>", "</s>", False, "</s>"),
}
PROMPT = Prompt.from_text("How are you?")


def make_tokenizer(template: str | None, *, bos: str | None = "<s>", eos: str | None = "</s>") -> Any:
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    trainer = ByteLevelBPETokenizer()
    trainer.train_from_iterator(["How are you? Fine, thanks."], vocab_size=270, special_tokens=SPECIAL)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=trainer._tokenizer, bos_token=bos, eos_token=eos)
    tokenizer.chat_template = template
    return tokenizer


@pytest.fixture(scope="module")
def qwen() -> Any:
    return make_tokenizer(QWEN, bos=None, eos="<|endoftext|>")


def reason_of(tokenizer: Any, example: Example, max_length: int = 100) -> str:
    fitting, unfit = tokenize_examples(tokenizer, [example], max_length=max_length)
    assert fitting == {}
    assert [row.position for row in unfit] == [0]
    return unfit[0].reason


@pytest.mark.parametrize("name", KINDS)
def test_every_sequence_has_one_bos_where_one_is_used_and_one_end(name: str) -> None:
    template, bos, eos, has_bos, end = KINDS[name]
    tokenizer = make_tokenizer(template, bos=bos, eos=eos)
    fitting, unfit = tokenize_examples(tokenizer, [Example(PROMPT, "Fine.", "No.")], max_length=200)
    assert unfit == []
    row = fitting[0]
    end_id = tokenizer.convert_tokens_to_ids(end)
    bos_id = tokenizer.convert_tokens_to_ids("<s>")
    assert end_ids(tokenizer) == [end_id]
    assert row.prompt_ids == render_prompt(tokenizer, PROMPT, system_prompt=None)
    for ids in (row.chosen_ids, row.rejected_ids or []):
        assert ids.count(end_id) == 1
        assert ids[-1] == end_id
        assert (row.prompt_ids + ids).count(bos_id) == has_bos
    assert row.prompt_ids[0] == bos_id or not has_bos
    assert tokenizer.decode(row.chosen_ids[:-1]) == "Fine."


def test_the_prompt_and_the_response_are_what_the_template_writes_of_the_whole_dialogue(qwen: Any) -> None:
    fitting, _ = tokenize_examples(qwen, [Example(PROMPT, "Fine.")], max_length=200)
    turns = [{"role": "user", "content": PROMPT.text}, {"role": "assistant", "content": "Fine."}]
    whole = qwen(qwen.apply_chat_template(turns, tokenize=False), add_special_tokens=False)["input_ids"]
    ours = fitting[0].prompt_ids + fitting[0].chosen_ids
    assert ours == whole[: len(ours)]
    assert qwen.decode(whole[len(ours) :]) == "\n"


def test_what_stands_between_the_response_and_its_end_belongs_to_the_end() -> None:
    tokenizer = make_tokenizer(ZEPHYR.replace("eos_token", "' ' + eos_token"))
    assert tokenizer.decode(end_ids(tokenizer)) == " </s>"


def test_a_special_token_written_in_a_response_stays_plain_characters(qwen: Any) -> None:
    text = "Write <|im_end|> at the end</s>"
    fitting, _ = tokenize_examples(qwen, [Example(PROMPT, text)], max_length=200)
    ids = fitting[0].chosen_ids
    assert qwen.decode(ids[:-1]) == text
    assert ids.count(qwen.convert_tokens_to_ids("<|im_end|>")) == 1


def test_a_vocabulary_that_spells_a_special_token_from_plain_text_is_reported() -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    pieces = [("<unk>", 0.0), ("</s>", -1.0), ("a", -2.0)]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.Unigram(pieces, unk_id=0)), eos_token="</s>", unk_token="<unk>"
    )
    reason = reason_of(tokenizer, Example(Prompt.from_text("a"), "a</s>a"))
    assert (
        reason == "the chosen response's text is encoded with 1 special tokens, '</s>' first; take them out of the text"
    )
    assert tokenize_examples(tokenizer, [Example(Prompt.from_text("a"), "b")], max_length=9)[1] == []


def test_a_sequence_of_max_length_fits_and_one_token_more_does_not(qwen: Any) -> None:
    example = Example(PROMPT, "ab", "abcd")
    row = tokenize_examples(qwen, [example], max_length=100)[0][0]
    assert row.rejected_ids is not None
    prompt_length, response_length = len(row.prompt_ids), len(row.rejected_ids)
    total = prompt_length + response_length
    assert tokenize_examples(qwen, [example], max_length=total) == ({0: row}, [])
    assert reason_of(qwen, example, total - 1) == (
        f"prompt ({prompt_length}) and rejected response ({response_length}) have {total} tokens, over {total - 1}"
    )


@pytest.mark.parametrize(
    ("example", "reason"),
    [
        (Example(PROMPT, ""), "the chosen response is empty (0 characters, 0 tokens)"),
        (Example(PROMPT, "Fine.", " \n"), "the rejected response is empty (2 characters, 2 tokens)"),
        (Example(PROMPT, "a", "a"), "chosen and rejected are the same 1 tokens: 'a'"),
    ],
)
def test_a_row_that_cannot_be_trained_on_is_reported_with_figures(qwen: Any, example: Example, reason: str) -> None:
    assert reason_of(qwen, example) == reason


def test_a_template_that_refuses_the_dialogue_is_reported_and_the_other_rows_stay() -> None:
    strict = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + QWEN
    tokenizer = make_tokenizer(strict)
    with_system = Prompt((Message("system", "Be brief."), Message("user", "Hi")))
    examples = [Example(PROMPT, "a", "b"), Example(with_system, "a", "b"), Example(PROMPT, "c")]
    fitting, unfit = tokenize_examples(tokenizer, examples, max_length=200)
    assert list(fitting) == [0, 2]
    assert fitting[2].rejected_ids is None
    assert [row.position for row in unfit] == [1]
    assert "no system role" in unfit[0].reason


def test_no_examples_give_no_rows(qwen: Any) -> None:
    assert tokenize_examples(qwen, [], max_length=10) == ({}, [])


@pytest.mark.parametrize(("template", "words"), [(None, "is not set"), (PLAIN_END, "without a special token")])
def test_a_tokenizer_without_any_end_is_refused(template: str | None, words: str) -> None:
    tokenizer = make_tokenizer(template, eos=None)
    with pytest.raises(ValueError, match=words):
        tokenize_examples(tokenizer, [Example(PROMPT, "a")], max_length=10)


def test_a_template_that_drops_the_assistants_turn_is_refused() -> None:
    tokenizer = make_tokenizer("{{ messages[0]['content'] }}")
    with pytest.raises(ValueError, match="does not write an assistant's turn: 'antipode' became 'Hi'"):
        end_ids(tokenizer)


def test_the_template_key_changes_with_the_template_and_with_the_end() -> None:
    tokenizers = [
        make_tokenizer(QWEN),
        make_tokenizer(LLAMA_3),
        make_tokenizer(None),
        make_tokenizer(None, eos="<|endoftext|>"),
        make_tokenizer(None, bos=None),
    ]
    assert len({template_key(tokenizer) for tokenizer in tokenizers}) == len(tokenizers)
    assert template_key(make_tokenizer(QWEN)) == template_key(tokenizers[0])


@settings(max_examples=50)
@given(st.lists(st.tuples(st.text(max_size=12), st.text(max_size=12)), max_size=6), st.integers(5, 60))
def test_every_row_is_either_whole_or_reported(qwen: Any, texts: list[tuple[str, str]], max_length: int) -> None:
    examples = [Example(PROMPT, chosen, rejected) for chosen, rejected in texts]
    fitting, unfit = tokenize_examples(qwen, examples, max_length=max_length)
    assert sorted([*fitting, *(row.position for row in unfit)]) == list(range(len(examples)))
    for position, row in fitting.items():
        assert isinstance(row, TokenizedExample)
        assert row.rejected_ids is not None
        assert row.chosen_ids != row.rejected_ids
        assert qwen.decode(row.chosen_ids[:-1]) == examples[position].chosen
        assert len(row.prompt_ids) + max(len(row.chosen_ids), len(row.rejected_ids)) <= max_length


def test_a_response_that_was_cut_has_no_end_on_either_side(qwen: Any) -> None:
    end = end_ids(qwen)
    whole = tokenize_examples(qwen, [Example(PROMPT, "Fine.", "No.")], max_length=200)[0][0]
    for is_chosen_cut, is_rejected_cut in ((True, False), (False, True), (True, True)):
        example = Example(PROMPT, "Fine.", "No.", is_chosen_cut=is_chosen_cut, is_rejected_cut=is_rejected_cut)
        row = tokenize_examples(qwen, [example], max_length=200)[0][0]
        for ids, of_whole, is_cut in (
            (row.chosen_ids, whole.chosen_ids, is_chosen_cut),
            (row.rejected_ids, whole.rejected_ids, is_rejected_cut),
        ):
            assert of_whole is not None
            assert ids == (of_whole[: -len(end)] if is_cut else of_whole) and of_whole[-len(end) :] == end


def test_what_is_left_out_of_samples_depends_on_their_prompt_alone(qwen: Any) -> None:
    end, room = end_ids(qwen), 12
    prompt_length = len(tokenize_samples(qwen, [ScoreRequest(PROMPT, "a")], max_length=200)[0].prompt_ids)
    texts = ["", "Fine.", "Fine. " * 40]
    samples = [ScoreRequest(PROMPT, text, is_cut) for text in texts for is_cut in (False, True)]
    rows = tokenize_samples(qwen, samples, max_length=prompt_length + room)
    found = {position: row.chosen_ids for position, row in rows.items()}
    fine = tokenize_examples(qwen, [Example(PROMPT, "Fine.", None, is_chosen_cut=True)], max_length=200)[0][
        0
    ].chosen_ids
    assert found[0] == end and 1 not in found, "nothing was said of what was cut before its first character"
    assert found[2] == fine + end and found[3] == fine
    assert found[4] == found[5] and len(found[4]) == room
    assert tokenize_samples(qwen, samples, max_length=prompt_length) == {}


THINKING = QWEN.replace("assistant\n' }}", "assistant\n<think>\n' }}")


def written(template: str, example: Example) -> tuple[str, str, str]:
    """Prompt, chosen and rejected as they are read, without the end."""
    tokenizer = make_tokenizer(template, bos=None, eos="<|endoftext|>")
    row = tokenize_examples(tokenizer, [example], max_length=500)[0][0]
    assert row.rejected_ids is not None
    chosen, rejected = (
        tokenizer.decode(ids).removesuffix("<|im_end|>\n") for ids in (row.chosen_ids, row.rejected_ids)
    )
    return tokenizer.decode(row.prompt_ids), chosen.removesuffix("<|im_end|>"), rejected.removesuffix("<|im_end|>")


def test_a_thought_that_is_trained_on_has_exactly_one_opening() -> None:
    example = Example(PROMPT, "Fine.", "No.", chosen_thought="hm", rejected_thought="")
    prompt, chosen, rejected = written(THINKING, example)
    assert prompt.endswith("assistant\n<think>\n")
    assert (chosen, rejected) == ("hm\n</think>\n\nFine.", "\n</think>\n\nNo.")
    prompt, chosen, rejected = written(QWEN, example)
    assert prompt.endswith("assistant\n")
    assert (chosen, rejected) == ("<think>\nhm\n</think>\n\nFine.", "<think>\n\n</think>\n\nNo.")


def test_answers_alone_stand_behind_a_thought_that_is_closed_in_the_prompt() -> None:
    prompt, chosen, rejected = written(THINKING, Example(PROMPT, "Fine.", "No."))
    assert prompt.endswith("assistant\n<think>\n\n</think>\n\n") and (chosen, rejected) == ("Fine.", "No.")


def test_a_response_is_scored_as_the_same_tokens_that_are_trained_on() -> None:
    tokenizer = make_tokenizer(THINKING, bos=None, eos="<|endoftext|>")
    example = Example(PROMPT, "Fine.", "No.", chosen_thought="hm", rejected_thought="")
    row = tokenize_examples(tokenizer, [example], max_length=500)[0][0]
    samples = [request._replace(is_sample=True) for request in example.score_requests]
    chosen, rejected = tokenize_samples(tokenizer, samples, max_length=500).values()
    assert chosen.prompt_ids == rejected.prompt_ids == row.prompt_ids
    assert (chosen.chosen_ids, rejected.chosen_ids) == (row.chosen_ids, row.rejected_ids)


def test_log_probabilities_behind_an_open_thought_are_not_those_behind_a_closed_one() -> None:
    tokenizer = make_tokenizer(THINKING, bos=None, eos="<|endoftext|>")
    assert template_key(tokenizer) != content_key(THINKING, None, end_ids(tokenizer)), "the key of a version before"
