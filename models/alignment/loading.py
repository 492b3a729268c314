"""A causal model loaded to be trained, with adapters, and saved with them merged. Runs in the training's process."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models.alignment.job import TrainingJob
from models.alignment.records import LoraSettings, TrainingSettings
from models.errors import ModelLoadError
from models.files import whole_folder
from models.plain_weights import NO_CODE, PLAIN_WEIGHTS, why_not_loaded
from models.records import shortened

DRAFT = ".draft"
_MODEL, _ADAPTER = "model", "adapter"
_QUANTIZATION = "4-bit weights need the extra qlora (bitsandbytes) and a GPU it can use"


def load_policy(model: str, *, revision: str | None, settings: TrainingSettings) -> Any:
    """The model to train, without dropout; with LoRA its own weights are frozen.

    All weights are trained in float32, under autocast if bfloat16 is asked for; weights that are frozen are loaded in
    the number format of the computation.

    Raises:
        ModelLoadError: It does not load, or cannot be quantised.
    """
    lora = settings.lora
    dtype = torch.bfloat16 if lora and settings.dtype == "bfloat16" else torch.float32
    network = _load(model, revision=revision, dtype=dtype, is_quantized=bool(lora and lora.is_quantized))
    _switch_off_dropout(network)
    network.config.use_cache = False
    return network if lora is None else _with_adapters(network, lora, settings)


def save_policy(trainer: Any, tokenizer: Any, job: TrainingJob, folder: Path) -> None:
    """Save the policy in `model/`, in the number format of the model it began as; adapters also in `adapter/`.

    The folder appears whole or not at all. Every process takes part, since weights may lie on several devices.
    """
    draft = folder / DRAFT
    trainer.save_model(str(draft))
    if trainer.args.process_index:
        return
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.integrations import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()  # of ZeRO-3, with which all processes would have to read what this one reads

    dtype = AutoConfig.from_pretrained(job.model, revision=job.revision, **NO_CODE).dtype or torch.float32
    if job.settings.lora is not None:
        from peft import PeftModel

        base = _load(job.model, revision=job.revision, dtype=dtype, is_quantized=False)
        with whole_folder(folder / _ADAPTER, is_replacing=True, draft=draft):
            network = PeftModel.from_pretrained(base, str(draft), use_safetensors=True).merge_and_unload()
    else:
        network = AutoModelForCausalLM.from_pretrained(str(draft), dtype=dtype, **PLAIN_WEIGHTS)
        shutil.rmtree(draft)
    network.config.use_cache = True
    with whole_folder(folder / _MODEL, is_replacing=True, draft=draft):
        network.save_pretrained(str(draft))
        tokenizer.save_pretrained(str(draft))


def _load(model: str, *, revision: str | None, dtype: torch.dtype, is_quantized: bool) -> Any:
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    arguments: dict[str, Any] = {"revision": revision, "dtype": dtype, "attn_implementation": "sdpa"} | PLAIN_WEIGHTS
    if is_quantized:
        if not torch.cuda.is_available():
            raise ModelLoadError(model, f"{_QUANTIZATION}; none is here")
        try:
            arguments["quantization_config"] = BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_compute_dtype=dtype,
                bnb_4bit_use_double_quant=True,
            )
        except ImportError as error:
            raise ModelLoadError(model, f"{_QUANTIZATION}: {shortened(str(error), 200)}") from error
        arguments["device_map"] = {"": int(os.environ.get("LOCAL_RANK", "0"))}
    try:
        return AutoModelForCausalLM.from_pretrained(model, **arguments)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelLoadError(model, why_not_loaded(error)) from error


def _switch_off_dropout(network: nn.Module) -> None:
    """Set the layers' rates to 0, and those that attention keeps as numbers; the saved configuration keeps its own."""
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name, value in vars(module).items():
            if "dropout" in name and isinstance(value, float):
                setattr(module, name, 0.0)


def _with_adapters(network: Any, lora: LoraSettings, settings: TrainingSettings) -> Any:
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    if lora.is_quantized:
        network = prepare_model_for_kbit_training(network, use_gradient_checkpointing=settings.gradient_checkpointing)
    elif settings.gradient_checkpointing:
        network.enable_input_require_grads()  # else no gradient reaches the adapters through frozen embeddings
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.target_modules) or "all-linear",
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        return get_peft_model(network, config)
