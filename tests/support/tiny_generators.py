"""Tiny random models that generate, and what they are asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from models.records import GenerationRequest, Prompt, SamplingParameters

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}[{{ message.role }}] {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)

THINKING_TEMPLATE = CHAT_TEMPLATE.replace(
    "[assistant]", "[assistant]{{ ' <think>\n' }}{% if enable_thinking is false %}{{ '\n</think>\n\n' }}{% endif %}"
)


def tiny_tokenizer(*, has_bos: bool = True, chat_template: str | None = None) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of about 270 tokens with <s> = 0 and </s> = 1."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["hello world, hello bread"] * 3, trainer)
    if has_bos:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>")
    fast.chat_template = chat_template
    return fast


def build_tiny_model(folder: Path, *, chat_template: str | None = None) -> str:
    """Save a random Llama (context 256, heads of 32 as vLLM's CPU kernels want) with clear-cut logits."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = tiny_tokenizer(chat_template=chat_template)
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
        bos_token_id=0,
        eos_token_id=1,
        initializer_range=0.3,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)


def sampling(
    *,
    temperature: float = 1.0,
    top_p: float = 1.0,
    max_tokens: int = 16,
    stop: tuple[str, ...] = (),
    system_prompt: str | None = None,
    template_arguments: dict[str, Any] | None = None,
) -> SamplingParameters:
    return SamplingParameters(
        temperature, top_p, max_tokens, stop, system_prompt, template_arguments=template_arguments
    )


def request(text: str, *seeds: int) -> GenerationRequest:
    return GenerationRequest(Prompt.from_text(text), seeds)
