from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_generators import CHAT_TEMPLATE, THINKING_TEMPLATE, build_tiny_model, request, sampling

from models.errors import ModelLoadError, PromptsRefusedError, PromptTooLongError
from models.generation.isolated import IsolatedGenerator
from models.generation.transformers_local import TransformersGenerator
from models.records import GenerationRequest, Message, Prompt, SamplingParameters

TEXTS = ["hello", "hello world, hello bread", "what is bread?", "a", "bread " * 20, "zzz"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return build_tiny_model(tmp_path_factory.mktemp("tiny"))


def generator(folder: str, parameters: SamplingParameters, *, max_batch_tokens: int = 4096) -> TransformersGenerator:
    return TransformersGenerator(
        folder, parameters, revision=None, dtype="float32", device="cpu", max_batch_tokens=max_batch_tokens
    )


def test_a_text_is_the_same_alone_in_a_batch_and_in_any_order(folder: str) -> None:
    requests = [request(text, 10 * at, 10 * at + 1, 10 * at + 2) for at, text in enumerate(TEXTS)]
    whole = generator(folder, sampling(max_tokens=12)).generate(requests)
    small = generator(folder, sampling(max_tokens=12), max_batch_tokens=60)
    assert small.generate(requests[::-1])[::-1] == whole
    for wanted, responses in zip(requests, whole, strict=True):
        assert [small.generate([request(wanted.prompt.text, seed)])[0][0] for seed in wanted.seeds] == responses
        assert [response.seed for response in responses] == list(wanted.seeds)


def test_other_seeds_give_other_texts_and_equal_seeds_equal_ones(folder: str) -> None:
    (responses,) = generator(folder, sampling(max_tokens=12)).generate([request("hello", *range(20), 3)])
    assert len({response.text for response in responses}) >= 18
    assert responses[-1] == responses[3]


def test_two_prompts_of_one_seed_are_sampled_each_in_its_own_right(folder: str) -> None:
    responses = generator(folder, sampling(max_tokens=12)).generate([request("hello", 1), request("bread", 1)])
    assert responses[0][0].text != responses[1][0].text


def test_greedy_is_the_arg_max_of_the_model_at_every_step(folder: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    ((response, same),) = generator(folder, sampling(temperature=0.0, max_tokens=10)).generate([request("hello", 1, 2)])
    assert response.text == same.text
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    ids = tokenizer("hello")["input_ids"]
    start = len(ids)
    for _ in range(10):
        ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] == 1:
            break
    assert response.text == tokenizer.decode(ids[start:], skip_special_tokens=True)
    assert response.token_count == len(ids) - start


def test_a_narrow_nucleus_is_greedy(folder: str) -> None:
    (sampled,) = generator(folder, sampling(top_p=1e-6)).generate([request("hello", 1, 2)])
    (greedy,) = generator(folder, sampling(temperature=0.0)).generate([request("hello", 1, 2)])
    assert sampled == greedy


def test_the_length_is_limited_and_the_reason_told(folder: str) -> None:
    for max_tokens in (1, 5):
        (responses,) = generator(folder, sampling(max_tokens=max_tokens)).generate([request("hello", *range(40))])
        assert {response.token_count for response in responses if response.finish_reason == "length"} == {max_tokens}
        assert all(response.token_count <= max_tokens for response in responses)


def test_stop_strings_end_a_text_and_are_cut_off(folder: str) -> None:
    free = generator(folder, sampling(max_tokens=12)).generate([request(text, *range(8)) for text in TEXTS])
    stopped = generator(folder, sampling(max_tokens=12, stop=("l", "e"))).generate(
        [request(text, *range(8)) for text in TEXTS]
    )
    pairs = [pair for rows in zip(free, stopped, strict=True) for pair in zip(*rows, strict=True)]
    hits = [(whole, cut) for whole, cut in pairs if {"l", "e"} & set(whole.text)]
    assert len(hits) >= 5
    for whole, cut in hits:
        assert cut.text == whole.text[: min(at for at in (whole.text.find("l"), whole.text.find("e")) if at >= 0)]
        assert cut.finish_reason == "stop"
        assert cut.token_count <= whole.token_count
    assert all(whole == cut for whole, cut in pairs if not {"l", "e"} & set(whole.text))


def test_the_models_own_generation_defaults_are_not_used(folder: str, tmp_path: Path) -> None:
    parameters = sampling(max_tokens=12)
    expected = generator(folder, parameters).generate([request("hello", 1, 2, 3)])
    copy = Path(build_tiny_model(tmp_path))
    config = json.loads((copy / "generation_config.json").read_text())
    config |= {"do_sample": True, "top_k": 1, "repetition_penalty": 5.0, "temperature": 0.1, "max_length": 3}
    (copy / "generation_config.json").write_text(json.dumps(config))
    assert generator(str(copy), parameters).generate([request("hello", 1, 2, 3)]) == expected


def test_any_of_the_models_end_tokens_ends_a_text(folder: str, tmp_path: Path) -> None:
    copy = Path(build_tiny_model(tmp_path))
    config = json.loads((copy / "generation_config.json").read_text())
    (copy / "generation_config.json").write_text(json.dumps(config | {"eos_token_id": list(range(1, 100))}))
    few = generator(str(copy), sampling()).generate([request("hello", *range(10))])[0]
    many = generator(folder, sampling()).generate([request("hello", *range(10))])[0]
    assert sum(response.token_count for response in few) < sum(response.token_count for response in many) / 2
    assert all(whole.text.startswith(cut.text) for whole, cut in zip(many, few, strict=True))


def test_the_chat_template_and_the_system_prompt_reach_the_model(folder: str, tmp_path: Path) -> None:
    chat = build_tiny_model(tmp_path, chat_template=CHAT_TEMPLATE)
    told = generator(chat, sampling(system_prompt="Rhyme.")).generate([request("hello", 1)])
    assert told == generator(folder, sampling()).generate([request("[system] Rhyme.\n[user] hello\n[assistant]", 1)])


def test_a_prompt_without_room_for_its_response_is_refused_before_anything_is_sampled(folder: str) -> None:
    requests = [request("hello", 1), request("x" * 250, 1)]
    with pytest.raises(PromptTooLongError, match="context of 256 tokens; the first has 251 tokens") as caught:
        generator(folder, sampling(max_tokens=6)).generate(requests)
    assert caught.value.positions == (1,)
    assert generator(folder, sampling(max_tokens=5)).generate(requests)[1][0].token_count <= 5


PICKY = CHAT_TEMPLATE.replace(
    "{{ bos_token }}",
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('No system role') }}{% endif %}",
)


def test_prompts_that_the_chat_template_refuses_are_named_with_the_reason(tmp_path: Path) -> None:
    picky = build_tiny_model(tmp_path, chat_template=PICKY)
    system = Prompt((Message("system", "Rhyme."), Message("user", "Bread?")))
    requests = [request("hello", 1), GenerationRequest(system, (1,)), request("bread", 1)]
    with pytest.raises(PromptsRefusedError, match="1 of 3 prompts") as caught:
        generator(picky, sampling(max_tokens=5)).generate(requests)
    assert list(caught.value.reasons) == [1] and "No system role" in caught.value.reasons[1]
    with pytest.raises(ValueError, match="unset system_prompt") as refused:
        generator(picky, sampling(max_tokens=5, system_prompt="Rhyme.")).generate(requests)
    assert not isinstance(refused.value, PromptsRefusedError), "no prompt is at fault"


def test_nothing_asked_nothing_given(folder: str) -> None:
    own = generator(folder, sampling())
    assert own.generate([]) == []
    assert own.generate([request("hello"), request("bread", 1)])[0] == []


@pytest.mark.parametrize("missing", ["tokenizer.json", "config.json", "model.safetensors"])
def test_an_incomplete_folder_gives_one_clear_error(tmp_path: Path, missing: str) -> None:
    model = build_tiny_model(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(ModelLoadError, match=r"could not be loaded: .*check the name or the folder"):
        generator(model, sampling())


def test_a_closed_generator_says_so(folder: str) -> None:
    own = generator(folder, sampling())
    own.close()
    own.close()
    with pytest.raises(RuntimeError, match="closed"):
        own.generate([request("hello", 1)])


def test_a_generator_in_a_process_of_its_own_gives_the_same_texts_and_errors(folder: str, tmp_path: Path) -> None:
    arguments = {
        "parameters": sampling(),
        "revision": None,
        "dtype": "float32",
        "device": "cpu",
        "max_batch_tokens": 4096,
    }
    own = IsolatedGenerator(
        TransformersGenerator, {"model": folder, **arguments}, log_path=tmp_path / "log", timeout_s=120
    )
    assert own.generate([request("hello", 1, 2)]) == generator(folder, sampling()).generate([request("hello", 1, 2)])
    with pytest.raises(PromptTooLongError):
        own.generate([request("x" * 250, 1)])
    own.close()
    own.close()


def test_a_sample_cut_within_the_thought_that_the_template_opened_has_no_answer(folder: str, tmp_path: Path) -> None:
    thinking = build_tiny_model(tmp_path, chat_template=THINKING_TEMPLATE)
    opened = request("[user] hello\n[assistant] <think>\n", 1)
    whole = generator(folder, sampling(max_tokens=4)).generate([opened])[0][0]
    cut = generator(thinking, sampling(max_tokens=4)).generate([request("hello", 1)])[0][0]
    assert (cut.text, cut.finish_reason, cut.token_count) == ("", "length", 4)
    assert cut.thought == whole.text.strip() and whole.thought is None
    told = sampling(max_tokens=4, template_arguments={"enable_thinking": False})
    answer = generator(thinking, told).generate([request("hello", 1)])[0][0]
    closed = request("[user] hello\n[assistant] <think>\n\n</think>\n\n", 1)
    assert answer == generator(folder, sampling(max_tokens=4)).generate([closed])[0][0]
