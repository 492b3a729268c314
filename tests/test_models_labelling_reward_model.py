"""Reward models on a small real classifier: plain transformers as the oracle, batches, limits, a process of its own."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from reward_models import arguments_of, make_labeller, make_reward_model
from tokenizers.processors import TemplateProcessing

from models.demo.corpus import training_dialogues
from models.errors import ModelLoadError
from models.labelling.records import Opinion, ShownPair, ShownResponse
from models.labelling.reward_model import IsolatedRewardModel, RewardModelLabeller
from models.records import Message, Prompt

DIALOGUES = list(training_dialogues(24, seed=3))
PAIRS = [
    ShownPair(Prompt(tuple(one[:-1])), ShownResponse(one[-1].content), ShownResponse(two[-1].content * times))
    for one, two, times in zip(DIALOGUES, DIALOGUES[1:] + DIALOGUES[:1], [1, 1, 3] * 8, strict=True)
]


def plain_scores(model: str, pairs: list[ShownPair]) -> list[tuple[float, float]]:
    """The oracle: one dialogue at a time, as model cards show it."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer, network = AutoTokenizer.from_pretrained(model), AutoModelForSequenceClassification.from_pretrained(model)

    def score(prompt: Prompt, text: str) -> float:
        turns = [
            {"role": turn.role, "content": turn.content} for turn in (*prompt.messages, Message("assistant", text))
        ]
        with torch.no_grad():
            return float(network(**tokenizer.apply_chat_template(turns, return_tensors="pt")).logits[0, 0])

    return [(score(pair.prompt, pair.left.text), score(pair.prompt, pair.right.text)) for pair in pairs]


def margins(opinions: list[Opinion]) -> list[float]:
    assert all(opinion.margin is not None for opinion in opinions)
    return [opinion.margin or 0.0 for opinion in opinions]


@pytest.fixture(scope="module")
def model(demo_model: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_reward_model(demo_model, tmp_path_factory.mktemp("reward-model"))


def test_scores_are_those_of_plain_transformers(model: str) -> None:
    opinions = make_labeller(model).label(PAIRS)
    expected = plain_scores(model, PAIRS)
    assert margins(opinions) == pytest.approx([left - right for left, right in expected], abs=1e-4)
    assert [opinion.verdict for opinion in opinions] == ["left" if one > two else "right" for one, two in expected]
    assert {opinion.verdict for opinion in opinions} == {"left", "right"}
    for opinion, margin in zip(opinions, margins(opinions), strict=True):
        assert opinion.probability == pytest.approx(1 / (1 + math.exp(-margin)))


@pytest.mark.parametrize("tokens_per_batch", [1, 300, 100_000])
def test_a_score_does_not_depend_on_its_batch(model: str, tokens_per_batch: int) -> None:
    together = make_labeller(model, tokens_per_batch=tokens_per_batch).label(PAIRS)
    labeller = make_labeller(model)
    assert margins(together) == pytest.approx([margins(labeller.label([pair]))[0] for pair in PAIRS], abs=1e-4)


@pytest.mark.parametrize("pad", [None, 2], ids=["no pad token", "the end of text pads"])
def test_padding_is_harmless_whatever_the_pad_token(demo_model: Path, tmp_path: Path, pad: int | None) -> None:
    folder = make_reward_model(demo_model, tmp_path, pad_token_id=pad)
    expected = [left - right for left, right in plain_scores(folder, PAIRS)]
    assert margins(make_labeller(folder).label(PAIRS)) == pytest.approx(expected, abs=1e-4)


def test_each_distinct_response_is_scored_once(model: str) -> None:
    labeller = make_labeller(model)
    rows: list[int] = []
    labeller._network.register_forward_hook(lambda *call: rows.append(call[2].logits.shape[0]))
    first = PAIRS[0]
    triangle = [first, ShownPair(first.prompt, first.right, PAIRS[1].left), first.swapped, first]
    labeller.label([*triangle, ShownPair(PAIRS[1].prompt, first.left, first.left)])
    assert sum(rows) == len({(pair.prompt, side.text) for pair in triangle for side in (pair.left, pair.right)}) + 1


def test_scores_within_the_tie_margin_are_a_tie(model: str) -> None:
    found = margins(make_labeller(model).label(PAIRS))
    middle = sorted(abs(margin) for margin in found)[len(found) // 2]
    opinions = make_labeller(model, tie_margin=middle).label(PAIRS)
    expected = ["tie" if abs(margin) <= middle else "left" if margin > 0 else "right" for margin in found]
    assert [opinion.verdict for opinion in opinions] == expected
    assert 0 < expected.count("tie") < len(expected)
    assert margins(opinions) == found


def test_equal_texts_tie_without_a_tie_margin(model: str) -> None:
    [opinion] = make_labeller(model).label([ShownPair(PAIRS[0].prompt, PAIRS[0].left, PAIRS[0].left)])
    assert opinion == Opinion("tie", probability=0.5, margin=0.0)


def test_what_is_too_long_is_skipped_with_a_reason_and_never_cut(model: str) -> None:
    labeller = make_labeller(model)
    long = ShownPair(PAIRS[0].prompt, PAIRS[0].left, ShownResponse("tea " * 600))
    whole, skipped, turned = labeller.label([PAIRS[0], long, long.swapped])
    assert whole.verdict != "skip"
    assert skipped.verdict == turned.verdict == "skip"
    assert skipped.rationale is not None and skipped.rationale.endswith("the limit is 500")


def test_the_limit_is_the_longest_text_that_is_scored(model: str) -> None:
    from transformers import AutoTokenizer

    turns = [Message("user", "Why is tea green?"), Message("assistant", "It is not cooked.")]
    chat = [{"role": turn.role, "content": turn.content} for turn in turns]
    length = len(AutoTokenizer.from_pretrained(model).apply_chat_template(chat)["input_ids"])
    pair = ShownPair(Prompt((turns[0],)), ShownResponse(turns[1].content), ShownResponse(turns[1].content))
    assert make_labeller(model, max_tokens=length).label([pair])[0].verdict == "tie"
    assert make_labeller(model, max_tokens=length - 1).label([pair])[0].verdict == "skip"


def test_the_model_s_own_context_is_a_limit_too(model: str) -> None:
    long = ShownPair(PAIRS[0].prompt, PAIRS[0].left, ShownResponse("tea " * 3000))
    [opinion] = make_labeller(model, max_tokens=100_000).label([long])
    assert opinion.verdict == "skip"
    assert opinion.rationale is not None and opinion.rationale.endswith("the limit is 2048")


def test_without_a_chat_template_the_tokenizer_s_pair_is_scored(demo_model: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = make_reward_model(demo_model, tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    tokenizer, network = (
        AutoTokenizer.from_pretrained(folder),
        AutoModelForSequenceClassification.from_pretrained(folder),
    )
    assert tokenizer.chat_template is None
    prompt = Prompt.from_text("Why is tea green?")
    pair = ShownPair(prompt, ShownResponse("It is not cooked."), ShownResponse("Nobody knows."))
    with torch.no_grad():
        left, right = (
            float(network(**tokenizer(prompt.text, side.text, return_tensors="pt")).logits)
            for side in (pair.left, pair.right)
        )
    assert margins(make_labeller(folder).label([pair])) == pytest.approx([left - right], abs=1e-4)


def test_an_encoder_scores_as_plain_transformers_does(demo_model: Path, tmp_path: Path) -> None:
    import torch
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    names = ["input_ids", "token_type_ids", "attention_mask"]
    tokenizer = PreTrainedTokenizerFast.from_pretrained(demo_model, model_input_names=names)
    tokenizer.chat_template = None
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        pair="<|begin|> $A <|end|> $B:1 <|end|>:1", special_tokens=[("<|begin|>", 1), ("<|end|>", 2)]
    )
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(tokenizer), **sizes, initializer_range=0.5, num_labels=1)
    network = BertForSequenceClassification(config).eval()
    network.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)

    def score(pair: ShownPair, text: str) -> float:
        with torch.no_grad():
            return float(network(**tokenizer(pair.prompt.text, text, return_tensors="pt")).logits)

    pairs = [pair for pair in PAIRS if len(pair.prompt.messages) == 1]
    expected = [score(pair, pair.left.text) - score(pair, pair.right.text) for pair in pairs]
    assert max(expected) - min(expected) > 0.1
    labeller = make_labeller(str(tmp_path), max_tokens=10_000)
    assert "token_type_ids" in labeller._tokenizer("one", "two")
    assert margins(labeller.label(pairs)) == pytest.approx(expected, abs=1e-4)
    [opinion] = labeller.label([ShownPair(pairs[0].prompt, pairs[0].left, ShownResponse("tea " * 600))])
    assert opinion.rationale is not None and opinion.rationale.endswith("the limit is 512")


def test_a_dialogue_that_the_template_refuses_is_an_error_with_its_roles(demo_model: Path, tmp_path: Path) -> None:
    folder = make_reward_model(demo_model, tmp_path)
    (tmp_path / "chat_template.jinja").write_text("{{ raise_exception('no system role') }}")
    with pytest.raises(ValueError, match="roles user, assistant: no system role"):
        make_labeller(folder).label([pair for pair in PAIRS if len(pair.prompt.messages) == 1][:1])


def test_a_head_of_several_labels_is_refused(demo_model: Path, tmp_path: Path) -> None:
    folder = make_reward_model(demo_model, tmp_path, label_count=3)
    with pytest.raises(ModelLoadError, match="one label, this one has 3: LABEL_0, LABEL_1, LABEL_2"):
        make_labeller(folder)


def test_a_language_model_is_no_reward_model(demo_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="one label, this one has 2"):
        make_labeller(str(demo_model))
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in demo_model.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    text = (copy / "config.json").read_text()
    (copy / "config.json").write_text(text.replace("{", '{"id2label": {"0": "reward"},', 1))
    with pytest.raises(ModelLoadError, match=r"lacks 1 weights, score\.weight"):
        make_labeller(str(copy))


def test_a_folder_that_is_none_is_a_load_error(model: str, tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="none"):
        RewardModelLabeller(**arguments_of(model) | {"model": str(tmp_path / "none")})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_tokens": 0}, "max_tokens must be at least 1, got 0"),
        ({"tokens_per_batch": 0}, "tokens_per_batch must be at least 1, got 0"),
        ({"tie_margin": -1.0}, "tie_margin must be 0 or a positive number, got -1.0"),
        ({"tie_margin": math.nan}, "tie_margin must be 0 or a positive number, got nan"),
    ],
)
def test_limits_that_make_no_sense_are_refused(model: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_labeller(model, **changes)


def test_a_score_that_is_no_number_is_an_error(model: str) -> None:
    import torch

    labeller = make_labeller(model)
    with torch.no_grad():
        labeller._network.score.weight.fill_(math.inf)
    with pytest.raises(FloatingPointError, match="not finite with dtype"):
        labeller.label(PAIRS[:1])


def test_a_closed_reward_model_says_so(model: str) -> None:
    labeller = make_labeller(model)
    labeller.close()
    labeller.close()
    with pytest.raises(RuntimeError, match="closed"):
        labeller.label(PAIRS[:1])


def test_the_identity_holds_what_can_change_a_verdict_and_no_more(model: str) -> None:
    identity = make_labeller(model).identity
    assert identity.kind == "reward_model" and identity.name == f"reward model {Path(model).name}"
    assert make_labeller(model, tokens_per_batch=7).identity.key == identity.key
    changed = [{"tie_margin": 0.5}, {"max_tokens": 9}, {"dtype": "bfloat16"}, {"fingerprint": "another"}]
    assert identity.key not in {make_labeller(model, **change).identity.key for change in changed}


def test_in_a_process_of_its_own_it_says_the_same(model: str, tmp_path: Path) -> None:
    here = make_labeller(model)
    there = IsolatedRewardModel(arguments_of(model), log_path=tmp_path / "log", timeout_s=120)
    try:
        assert there.identity == here.identity
        assert margins(there.label(PAIRS)) == pytest.approx(margins(here.label(PAIRS)), abs=1e-4)
        assert there.label([]) == []
    finally:
        there.close()
        there.close()
