"""Reward models as annotators: sequence classifiers with one logit, through transformers. Knows no database."""

from __future__ import annotations

import gc
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from models.embedding.tokens import check_limits, token_budget_batches
from models.errors import ModelLoadError
from models.labelling.records import AnnotatorIdentity, Opinion, ShownPair
from models.plain_weights import PLAIN_WEIGHTS, why_not_loaded
from models.processes.isolation import IsolatedProcess, StartsBackend
from models.prompting import load_tokenizer, plain_text
from models.records import Prompt, shortened

if TYPE_CHECKING:
    import torch


# Of a labeller's arguments those that can change a verdict.
IDENTIFYING_ARGUMENTS = ("model", "fingerprint", "dtype", "max_tokens", "tie_margin")

_Encoding = Mapping[str, list[int]]  # what the network takes, by the name of its argument


class _Item(NamedTuple):
    """What gets one score."""

    prompt: Prompt
    text: str


class RewardModelLabeller:
    """Prefers the response with the higher score; each distinct prompt and response is scored once a call."""

    def __init__(
        self,
        *,
        model: str,
        revision: str | None,
        fingerprint: str,
        dtype: str,
        device: str | None,
        max_tokens: int,
        tokens_per_batch: int,
        tie_margin: float,
    ) -> None:
        """Load the classifier and its tokenizer.

        Args:
            model: a hub name or a folder made by `save_pretrained`: a sequence classifier with one label.
            revision: the hub revision, None for the newest.
            fingerprint: of the model's content (`model_fingerprint`), for the identity.
            dtype: "float32", "bfloat16" or "float16".
            device: "cpu", "cuda", "cuda:1", …; None takes the GPU if there is one.
            max_tokens: the longest prompt with response that is scored, in tokens of the template included.
            tokens_per_batch: padded tokens in one forward pass, at most, unless one text alone is longer.
            tie_margin: scores that differ by no more are a tie, in units of the logit; at least 0.

        Raises:
            ModelLoadError: if the model or the tokenizer does not load, has another number of labels than one, or has
                no trained head.
            ValueError: if a limit is below 1, or `tie_margin` below 0.
        """
        check_limits(max_tokens=max_tokens, tokens_per_batch=tokens_per_batch)
        if not 0 <= tie_margin < math.inf:
            raise ValueError(f"tie_margin must be 0 or a positive number, got {tie_margin}")
        self._identity = reward_model_identity(
            model=model, fingerprint=fingerprint, dtype=dtype, max_tokens=max_tokens, tie_margin=tie_margin
        )
        self._tokenizer, self._network = _load(model, revision=revision, dtype=dtype, device=device)
        self._max_tokens = min(max_tokens, _context_length(self._tokenizer, self._network.config))
        self._tokens_per_batch = tokens_per_batch
        self._tie_margin = tie_margin

    @property
    def identity(self) -> AnnotatorIdentity:
        """The model, its content, and where it ties; device and batches change no verdict."""
        return self._identity

    def label(self, pairs: Sequence[ShownPair]) -> list[Opinion]:
        """Compare scores: margin = left − right, probability = sigmoid(margin).

        Nothing is ever cut: where a response with its prompt is longer than `max_tokens` or than the model reads, the
        opinion is `skip` and its rationale says so. The order of pairs and sides changes nothing.

        Raises:
            FloatingPointError: if a score is not finite, as in float16.
            RuntimeError: if the labeller is closed.
            ValueError: if the chat template refuses a dialogue.
        """
        if self._network is None:
            raise RuntimeError("the reward model is closed; make a new one")
        items = {_Item(pair.prompt, response.text) for pair in pairs for response in (pair.left, pair.right)}
        # Sorted, so that the batches, and with them the last bits, depend on the set alone.
        encoded = {item: self._encoding(item) for item in sorted(items, key=lambda item: (item.prompt.key, item.text))}
        lengths = {item: len(encoding["input_ids"]) for item, encoding in encoded.items()}
        scores = self._scores({item: encoded[item] for item in encoded if lengths[item] <= self._max_tokens})
        return [self._opinion(pair, lengths, scores) for pair in pairs]

    def close(self) -> None:
        """Give the model's memory back, on the GPU too. Safe to call twice."""
        import torch

        self._network = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _opinion(self, pair: ShownPair, lengths: Mapping[_Item, int], scores: Mapping[_Item, float]) -> Opinion:
        left, right = _Item(pair.prompt, pair.left.text), _Item(pair.prompt, pair.right.text)
        if left not in scores or right not in scores:
            longest = max(lengths[left], lengths[right])
            return Opinion(
                "skip",
                rationale=f"too long to be scored: {longest} tokens with the prompt, the limit is {self._max_tokens}",
            )
        margin = scores[left] - scores[right]
        probability = 0.5 + 0.5 * math.tanh(margin / 2)  # the sigmoid, without overflow
        if abs(margin) <= self._tie_margin:
            return Opinion("tie", probability=probability, margin=margin)
        return Opinion("left" if margin > 0 else "right", probability=probability, margin=margin)

    def _encoding(self, item: _Item) -> _Encoding:
        """The ids of the chat template, else the tokenizer's own encoding of prompt and response as a pair of texts."""
        if self._tokenizer.chat_template is not None:
            encoded = self._chat(item)
        else:
            encoded = self._tokenizer(plain_text(item.prompt.messages), item.text, verbose=False)
        names = ["input_ids", "attention_mask"]
        if getattr(self._network.config, "type_vocab_size", 0) > 1:
            names.append("token_type_ids")  # by which BERT and its kin tell the response from the prompt
        return {name: encoded[name] for name in names if name in encoded}

    def _chat(self, item: _Item) -> _Encoding:
        from jinja2 import TemplateError

        turns = [{"role": message.role, "content": message.content} for message in item.prompt.messages]
        turns.append({"role": "assistant", "content": item.text})
        try:
            return cast("_Encoding", self._tokenizer.apply_chat_template(turns, return_dict=True))
        except TemplateError as error:
            roles = ", ".join(turn["role"] for turn in turns)
            raise ValueError(
                f"the reward model's chat template refuses a dialogue of the roles {roles}: {error}; leave such "
                "prompts out, or take a model whose template accepts them"
            ) from error

    def _scores(self, encoded: Mapping[_Item, _Encoding]) -> dict[_Item, float]:
        import torch

        if not encoded:
            return {}
        items, encodings = list(encoded), list(encoded.values())
        # Without a token for padding transformers reads the score at the last token, and takes one text at a time.
        budget = 1 if self._pad_token() is None else self._tokens_per_batch
        batches = token_budget_batches([len(encoding["input_ids"]) for encoding in encodings], budget)
        with torch.inference_mode():
            logits = torch.cat([self._logits([encodings[place] for place in batch]) for batch in batches]).tolist()
        broken = sum(not math.isfinite(logit) for logit in logits)
        if broken:
            raise FloatingPointError(
                f"{broken} of {len(logits)} scores are not finite with dtype {self._network.dtype}; "
                "use bfloat16 or float32"
            )
        return dict(zip((items[place] for batch in batches for place in batch), logits, strict=True))

    def _logits(self, batch: list[_Encoding]) -> torch.Tensor:
        """The scores (b,) float32 of one batch, padded on the right."""
        import torch

        longest = max(len(encoding["input_ids"]) for encoding in batch)
        inputs = {}
        for name in batch[0]:
            padding = (self._pad_token() or 0) if name == "input_ids" else 0
            rows = [encoding[name] + [padding] * (longest - len(encoding[name])) for encoding in batch]
            inputs[name] = torch.tensor(rows, device=self._network.device)
        return cast("torch.Tensor", self._network(**inputs).logits[:, 0].float())

    def _pad_token(self) -> int | None:
        """The config's, not the tokenizer's: by it the model finds a text's last token."""
        return cast("int | None", getattr(self._network.config.get_text_config(), "pad_token_id", None))


class IsolatedRewardModel:
    """A reward model in a process of its own, so that ending it gives its whole memory back."""

    def __init__(
        self,
        arguments: Mapping[str, Any],
        *,
        log_path: Path | None,
        timeout_s: float | None,
        start: StartsBackend = IsolatedProcess,
    ) -> None:
        """Start the process and load the model there.

        Args:
            arguments: keyword arguments of `RewardModelLabeller`.
            log_path: where the process's output is appended; None keeps it for error messages only.
            timeout_s: limit for the start and for each call to `label`, in seconds; None waits for ever.
            start: what starts it: a process of its own, or a cluster's.

        Raises:
            ModelLoadError: if the model does not load there.
            ProcessDiedError: if the process ends while it loads.
            TimeoutError: if that takes longer than `timeout_s`.
        """
        self._identity = reward_model_identity(**{name: arguments[name] for name in IDENTIFYING_ARGUMENTS})
        self._process = start(RewardModelLabeller, arguments, log_path=log_path, timeout_s=timeout_s)

    @property
    def identity(self) -> AnnotatorIdentity:
        """The same as of the labeller in the process."""
        return self._identity

    def label(self, pairs: Sequence[ShownPair]) -> list[Opinion]:
        """Score in the other process.

        Raises:
            ProcessDiedError: if the process is dead, closed, or dies on the way.
            TimeoutError: if there is no answer in time; the process is ended.
            Exception: what the labeller raised; it lives on.
        """
        return cast("list[Opinion]", self._process.call("label", list(pairs)))

    def close(self) -> None:
        """End the process. Safe to call twice."""
        self._process.close()


def reward_model_identity(
    *, model: str, fingerprint: str, dtype: str, max_tokens: int, tie_margin: float
) -> AnnotatorIdentity:
    """The annotator a reward model is, known before it is loaded. The fingerprint stands for the revision."""
    settings = (
        ("model", model),
        ("fingerprint", fingerprint),
        ("dtype", dtype),
        ("max_tokens", max_tokens),
        ("tie_margin", float(tie_margin)),
    )
    return AnnotatorIdentity("reward_model", f"reward model {Path(model).name}", settings)


def _context_length(tokenizer: Any, config: Any) -> int:
    """The most tokens the model reads, as far as tokenizer and config know."""
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    return int(min(tokenizer.model_max_length, positions or tokenizer.model_max_length))


def _load(model: str, *, revision: str | None, dtype: str, device: str | None) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForSequenceClassification

    tokenizer = load_tokenizer(model, revision=revision)
    try:
        network, report = AutoModelForSequenceClassification.from_pretrained(
            model, revision=revision, dtype=dtype, output_loading_info=True, **PLAIN_WEIGHTS
        )
        network.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    except (OSError, ValueError, RuntimeError, ImportError, KeyError, AttributeError) as error:
        raise ModelLoadError(model, why_not_loaded(error)) from error
    if network.config.num_labels != 1:
        raise ModelLoadError(
            model, f"a reward model's head has one label, this one has {network.config.num_labels}: {_labels(network)}"
        )
    if missing := sorted(report["missing_keys"]):
        # transformers would fill them with random numbers and only log it.
        raise ModelLoadError(model, f"the checkpoint lacks {len(missing)} weights, {missing[0]} among them")
    network.config.get_text_config().use_cache = False  # a cache of keys and values is of no use in a single pass
    return tokenizer, network.eval()


def _labels(network: Any) -> str:
    return shortened(", ".join(network.config.id2label.values()), 80)
