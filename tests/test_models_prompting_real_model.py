"""A real chat template, with a system message of its own and without BOS, means the same wherever it is applied."""

from __future__ import annotations

import pytest
from surroundings import REAL_MODEL

from models.alignment.records import Example
from models.alignment.tokens import end_ids, tokenize_examples
from models.embedding import EmbeddingRequest
from models.embedding.tokens import tokenize
from models.exchange import PreferenceRow
from models.exchange.trainers import as_record
from models.generation.transformers_local import TransformersGenerator
from models.prompting import load_tokenizer, render_prompt
from models.records import GenerationRequest, Message, Prompt, SamplingParameters

pytestmark = pytest.mark.real_model

PLAIN = Prompt.from_text("Name a colour.")
TOLD = Prompt((Message("system", "Answer in one word."), *PLAIN.messages))
GREEDY = SamplingParameters(temperature=0.0, top_p=1.0, max_tokens=8, stop=(), system_prompt=None)


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(str(REAL_MODEL), revision=None)


def exported(prompt, chosen, rejected):
    row = PreferenceRow(
        prompt=prompt, chosen=chosen, rejected=rejected, prompt_id=1, chosen_response_id=1, rejected_response_id=2,
        chosen_model=None, rejected_model=None, run_id=1, strategies=("easy",), similarity=0.5, rule="majority",
        support=1.0, vote_count=1,
    )  # fmt: skip
    return as_record(row, "conversational")


@pytest.mark.parametrize("prompt", [PLAIN, TOLD])
def test_embedding_training_and_what_a_trainer_makes_of_an_export_read_the_same_tokens(tokenizer, prompt):
    ids = render_prompt(tokenizer, prompt, system_prompt=None)
    record = exported(prompt, "Blue.", "Red.")
    rendered = tokenizer.apply_chat_template(record["prompt"], add_generation_prompt=True, return_dict=False)
    assert rendered == ids
    request = EmbeddingRequest(prompt, "Blue.")
    (embedded,) = tokenize(tokenizer, [request], context="prompt_and_response", max_tokens=50, max_positions=None)
    trained = tokenize_examples(tokenizer, [Example(prompt, "Blue.", "Red.")], max_length=200)[0][0]
    assert trained.prompt_ids == ids
    assert embedded.ids + end_ids(tokenizer) == ids + trained.chosen_ids
    whole = tokenizer.apply_chat_template([*record["prompt"], *record["chosen"]], return_dict=False)
    assert whole[: len(ids) + len(trained.chosen_ids)] == ids + trained.chosen_ids
    assert tokenizer.decode(whole).count("<|im_start|>system") == 1


def test_sampling_goes_on_behind_the_same_tokens(
    tokenizer,
):
    import torch
    from transformers import AutoModelForCausalLM

    terms = {"revision": None, "dtype": "float32", "device": "cpu", "max_batch_tokens": 4096}
    sampled = TransformersGenerator(str(REAL_MODEL), GREEDY, **terms)
    ((told,), (plain,)) = sampled.generate([GenerationRequest(TOLD, (0,)), GenerationRequest(PLAIN, (0,))])
    network = AutoModelForCausalLM.from_pretrained(REAL_MODEL, dtype=torch.float32)
    for prompt, response in ((TOLD, told), (PLAIN, plain)):
        ids = torch.tensor([render_prompt(tokenizer, prompt, system_prompt=None)])
        output = network.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False)
        assert tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True) == response.text
    assert told.thought is None and told.text != plain.text
    setting = render_prompt(tokenizer, PLAIN, system_prompt="Answer in one word.")
    assert setting == render_prompt(tokenizer, TOLD, system_prompt="and this is not read")
