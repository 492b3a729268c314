"""The trainer: transformers' own, with our losses over response log-probabilities. Runs in the training's process.

Reference log-probabilities and weights come with the examples, so that one model is in memory. The loss of an
optimizer step is the mean over all its examples, however they are spread over devices and forward passes.
"""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import DistributedType, PartialState
from torch import Tensor
from torch.distributed.fsdp import MixedPrecisionPolicy
from torch.nn.functional import logsigmoid
from transformers import Trainer, TrainerCallback

from models.alignment.errors import TrainingDivergedError
from models.alignment.logps import response_logps
from models.alignment.losses import PairLogps, PairwiseLosses, pairwise_losses
from models.alignment.pair_batches import collate
from models.alignment.records import METHODS_WITH_REFERENCE, Example, MetricPoint, MetricSplit, TrainingSettings
from models.alignment.tokens import TokenizedExample
from models.alignment.zero import deepspeed_plugin
from models.intervals import ROUNDING

_TOKENS, _SECONDS = "response_tokens", "seconds"  # in transformers' log
_LARGEST_EXPONENT = 700.0  # of a float64


@dataclass(frozen=True, slots=True)
class Row:
    """An example and its tokens."""

    example: Example
    tokens: TokenizedExample


class RowDataset(torch.utils.data.Dataset[Row]):
    """The rows by position."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        """How many rows."""
        return len(self._rows)

    def __getitem__(self, position: int) -> Row:
        """The row at a position."""
        return self._rows[position]


class PolicyTrainer(Trainer):
    """Trains a policy by `settings.method`, and tells `on_points` what it measures."""

    def __init__(
        self,
        *,
        settings: TrainingSettings,
        held_out: Sequence[Row],
        kl_rows: Sequence[Row],
        pad_token_id: int,
        shares_prompt: bool,
        on_points: Callable[[Sequence[MetricPoint]], None],
        zero: dict[str, Any] | None = None,
        **arguments: Any,
    ) -> None:
        """Take transformers' own arguments beside ours; `zero` is DeepSpeed's configuration, if it is to share out."""
        self._settings = settings
        self._held_out = held_out
        self._kl_rows = kl_rows
        self._pad_token_id = pad_token_id
        self._shares_prompt = shares_prompt
        self._on_points = on_points
        self._zero = zero
        self._sums: dict[str, float] = defaultdict(float)
        self._response_tokens = 0
        self._start, self._seconds_before = time.monotonic(), 0.0
        super().__init__(**arguments, data_collator=self._collate)
        self.loss_is_scaled_for_ga = True  # by the number of a step's examples, below
        self.model_accepts_loss_kwargs = False

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor | int | None]:
        """The forward passes of one optimizer step, and how many examples they hold over all devices."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        counts = [len(batch["token_counts"]) for batch in batches]
        if batches and (own := self._own_of_last_batch()) is not None:
            batches[-1]["own"], counts[-1] = own, own
        count = torch.tensor(sum(counts), device=device)
        return batches, self.accelerator.gather(count).sum() if self.args.world_size > 1 else count

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """This forward pass's share of the step's mean loss."""
        own = inputs.pop("own", None)
        logps = self._logps(model, inputs)
        if own is not None:
            inputs = {name: inputs[name][:own] for name in ("weights", "margins", "token_counts") if name in inputs}
            logps = PairLogps(*(None if values is None else values[:own] for values in logps))
        losses = self._losses(logps, inputs["weights"], inputs.get("margins"))
        total = losses.losses.sum()
        if not torch.isfinite(total):
            raise TrainingDivergedError(self.state.global_step + 1, f"a loss of {total.item()}")
        self._count(logps, losses)
        self._sums["response_tokens"] += float(inputs["token_counts"].sum())
        assert num_items_in_batch is not None
        # Data-parallel wrappers take the mean of the devices' gradients, ours is the sum over them.
        return total * self.args.world_size / num_items_in_batch

    def create_accelerator_and_postprocess(self) -> None:
        """As transformers does; it shards on CPUs too, which torch can and accelerate passes over."""
        state = PartialState()
        if (self.args.fsdp or self._zero) and state.distributed_type == DistributedType.MULTI_CPU:
            state.distributed_type = DistributedType.MULTI_GPU
        super().create_accelerator_and_postprocess()

    def _build_accelerator_args(self, **arguments: Any) -> dict[str, Any]:
        if (plugin := arguments.get("fsdp_plugin")) is not None:
            # Autocast alone: accelerate's policy would round what leaves the model, and that is log-probabilities.
            plugin.mixed_precision_policy = MixedPrecisionPolicy()
        if self._zero is not None:
            arguments["deepspeed_plugin"] = deepspeed_plugin(self._zero)
        built: dict[str, Any] = super()._build_accelerator_args(**arguments)
        return built

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Take transformers' learning rate and gradient norm, and our sums since the last log, as points.

        What adds up over the training goes into transformers' log, which its checkpoints keep.
        """
        if "learning_rate" in logs:
            sums = self._over_devices(self._sums)
            self._sums.clear()
            self._response_tokens += int(sums.pop("response_tokens"))
            logs = logs | {_TOKENS: self._response_tokens, _SECONDS: self.seconds()}
            means = {name: value / sums["count"] for name, value in sums.items() if name != "count"}
            means |= {name: logs[name] for name in ("learning_rate", "grad_norm") if name in logs}
            self._add_points("train", means)
        super().log(logs, start_time)

    def measure_held_out(self) -> None:
        """Measure the held-out examples as the policy is now (REAL eq. 10, 11), and KL(reference ‖ policy).

        All are means over prompts of each prompt's mean, as in the evaluation; perplexity is per token, and so is the
        likelihood margin: the mean log-probability of the chosen response minus the rejected one's. Margin, loss,
        accuracy and KL are relative to the examples' reference, the model that the run began with; the method's own
        objective to the start of this training.
        """
        with_reference = [row for row in self._held_out if row.example.reference_chosen_logps is not None]
        without = [row for row in self._held_out if row.example.reference_chosen_logps is None]
        parts = [part for part in (self._measure(with_reference), self._measure(without)) if part]
        if not parts:
            return
        means = {name: _ratio(parts, name, "count") for part in parts for name in part}
        means["perplexity"] = math.exp(min(_ratio(parts, "chosen_nats", "chosen_tokens"), _LARGEST_EXPONENT))
        if kl := self._measure(self._kl_rows):
            means["kl"] = kl["log_ratio"] / kl["count"]
        for name in ("count", "chosen_tokens", "chosen_nats", "log_ratio"):
            means.pop(name, None)
        for name, value in means.items():
            if not math.isfinite(value):
                raise TrainingDivergedError(self.state.global_step, f"a held-out {name} of {value}")
        self._add_points("held_out", means)

    @property
    def response_tokens(self) -> int:
        """The response tokens trained on, over all devices, and before the training was taken up too."""
        return self._response_tokens

    def seconds(self) -> float:
        """How long it has trained; the time before it was taken up counts as far as the checkpoint."""
        return self._seconds_before + time.monotonic() - self._start

    def begin(self) -> None:
        """Begin to count, where the checkpoint ended if there is one."""
        logs = [log for log in self.state.log_history if _TOKENS in log]
        self._response_tokens, self._seconds_before = (logs[-1][_TOKENS], logs[-1][_SECONDS]) if logs else (0, 0.0)
        self._start = time.monotonic()

    def _own_of_last_batch(self) -> int | None:
        """How many of this process's last batch of an epoch are its own: the rest fills it up with the epoch's first.

        None before the epoch's end, and where the examples fill the last batches of all processes.
        """
        size, world = int(self.args.per_device_train_batch_size), self.args.world_size
        remainder = int(len(self.train_dataset) % (size * world))
        if world == 1 or not remainder or not self.accelerator.gradient_state.end_of_dataloader:
            return None
        return max(0, min(size, remainder - size * int(self.args.process_index)))

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        # Called last before the optimizer's step, with clipping or without.
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        if norm is not None and not math.isfinite(float(norm)):
            raise TrainingDivergedError(self.state.global_step + 1, f"a gradient of norm {float(norm)}")
        return norm

    def _measure(self, rows: Sequence[Row]) -> dict[str, float]:
        """Sums over the rows. Each device measures its part, in equally many forward passes, as FSDP needs it.

        `count` is that of the prompts: each row counts for its share of its prompt's rows.
        """
        if not rows:
            return {}
        rows_of = Counter(row.example.prompt for row in rows)
        totals: dict[str, float] = defaultdict(float)
        size, world = self.args.per_device_train_batch_size, self.args.world_size
        own_rows = rows[self.args.process_index :: world]
        self.model.eval()
        with torch.no_grad(), self.compute_loss_context_manager():
            for start in range(0, math.ceil(len(rows) / world), size):
                part = own_rows[start : start + size]
                batch = self._prepare_inputs(self._collate(part or rows[:1]))
                shares = torch.tensor([1 / rows_of[row.example.prompt] for row in part or rows[:1]])
                sums = self._held_out_sums(batch, shares)
                for name, value in sums.items():
                    totals[name] += value if part else 0.0  # every device has the names, also one without a row
        return self._over_devices(totals)

    def _held_out_sums(self, batch: dict[str, Tensor], shares: Tensor) -> dict[str, float]:
        """The batch's sums, each row times its share (B,) of its prompt; unweighted where perplexity uses them."""
        logps = self._logps(self.model_wrapped, batch)
        shares = shares.to(logps.policy_chosen.device)
        values = self._held_out_values(logps, self._from_start(logps, batch)) | {"count": torch.ones_like(shares)}
        sums = {name: float((shares * value).sum()) for name, value in values.items()}
        sums["chosen_tokens"] = float(logps.chosen_token_counts.sum())
        sums["chosen_nats"] = -float(logps.policy_chosen.sum())
        return sums

    def _held_out_values(self, logps: PairLogps, from_start: PairLogps) -> dict[str, Tensor]:
        """What can be measured of each row, (B,) each; `from_start` has the training's start as the reference."""
        values = {"chosen_logps": logps.policy_chosen}
        if logps.policy_rejected is None:
            if logps.reference_chosen is not None:
                values["log_ratio"] = logps.reference_chosen - logps.policy_chosen
            if self._settings.method == "sft":
                values["objective"] = self._losses(logps, None).losses
            return values
        values["rejected_logps"] = logps.policy_rejected
        assert logps.rejected_token_counts is not None
        of_chosen = logps.policy_chosen / logps.chosen_token_counts
        values["likelihood_margin"] = (
            of_chosen - logps.policy_rejected / logps.rejected_token_counts
        )  # ASFT figure 2 (a)
        if logps.reference_chosen is not None or self._settings.method not in METHODS_WITH_REFERENCE:
            values["objective"] = self._losses(from_start, torch.ones_like(logps.policy_chosen)).losses
        if logps.reference_chosen is not None:
            margins = self._settings.reward_beta * _log_ratio_margins(logps)  # REAL eq. 10
            values |= {
                "margin": margins,
                "loss": -logsigmoid(margins),  # REAL eq. 11
                "accuracy": _correct(margins),
            }
        return values

    def _logps(self, model: Any, batch: dict[str, Tensor]) -> PairLogps:
        logps = response_logps(model, batch)
        return PairLogps(
            policy_chosen=logps.chosen_logps,
            policy_rejected=logps.rejected_logps,
            chosen_token_counts=logps.chosen_token_counts,
            rejected_token_counts=logps.rejected_token_counts,
            reference_chosen=batch.get("reference_chosen"),
            reference_rejected=batch.get("reference_rejected"),
        )

    @staticmethod
    def _from_start(logps: PairLogps, batch: dict[str, Tensor]) -> PairLogps:
        if "start_chosen" not in batch or "start_rejected" not in batch:
            return logps
        return logps._replace(reference_chosen=batch["start_chosen"], reference_rejected=batch["start_rejected"])

    def _losses(self, logps: PairLogps, weights: Tensor | None, margins: Tensor | None = None) -> PairwiseLosses:
        settings = self._settings
        return pairwise_losses(settings.method, logps, beta=settings.beta, weights=weights, margins=margins)

    def _count(self, logps: PairLogps, losses: PairwiseLosses) -> None:
        """Add a forward pass to the sums of the step's metrics."""
        sums = {"count": torch.tensor(len(losses.losses)), "loss": losses.losses.sum()}
        sums["chosen_logps"] = logps.policy_chosen.sum()
        if logps.policy_rejected is not None:
            margins = losses.chosen_rewards - losses.rejected_rewards
            sums |= {
                "rejected_logps": logps.policy_rejected.sum(),
                "chosen_rewards": losses.chosen_rewards.sum(),
                "rejected_rewards": losses.rejected_rewards.sum(),
                "margin": margins.sum(),
                "accuracy": _correct(margins).sum(),
            }
        for name, value in sums.items():
            self._sums[name] += float(value.detach())

    def _over_devices(self, sums: dict[str, float]) -> dict[str, float]:
        if self.args.world_size == 1:
            return dict(sums)
        names = sorted(sums)
        values = torch.tensor([sums[name] for name in names], dtype=torch.float64, device=self.args.device)
        total = self.accelerator.reduce(values, reduction="sum")
        return dict(zip(names, total.tolist(), strict=True))

    def _add_points(self, split: MetricSplit, values: dict[str, float]) -> None:
        step = self.state.global_step
        self._on_points([MetricPoint(step, split, name, float(value)) for name, value in values.items()])

    def _collate(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """The batch of some rows, with what comes with their examples; a field that one of them lacks is left out."""
        batch = collate(
            [row.tokens for row in rows], pad_token_id=self._pad_token_id, shares_prompt=self._shares_prompt
        )
        values: dict[str, list[float | None]] = {
            "weights": [row.example.weight for row in rows],
            "margins": [row.example.margin for row in rows],
            "reference_chosen": [row.example.reference_chosen_logps for row in rows],
            "reference_rejected": [row.example.reference_rejected_logps for row in rows],
            "start_chosen": [row.example.start_chosen_logps for row in rows],
            "start_rejected": [row.example.start_rejected_logps for row in rows],
        }
        return batch | {name: torch.tensor(column) for name, column in values.items() if None not in column}


def _ratio(parts: Sequence[dict[str, float]], name: str, per: str) -> float:
    """The sum of `name` divided by the sum of `per`, over the parts that have `name`."""
    return sum(part.get(name, 0.0) for part in parts) / sum(part[per] for part in parts if name in part)


def _correct(margins: Tensor) -> Tensor:
    """1 for a margin above 0, 0 below, 0.5 within rounding of 0: before the first step margins are rounding alone."""
    return (torch.where(margins.abs() > ROUNDING, margins, 0.0).sign() + 1) / 2


def _log_ratio_margins(logps: PairLogps) -> Tensor:
    """Log π(y_w)/π_ref(y_w) − log π(y_l)/π_ref(y_l)."""
    assert logps.policy_rejected is not None
    assert logps.reference_chosen is not None and logps.reference_rejected is not None
    return (logps.policy_chosen - logps.reference_chosen) - (logps.policy_rejected - logps.reference_rejected)


class HeldOutCallback(TrainerCallback):
    """Measures the held-out examples before the first step, every `evaluate_every` and after the last."""

    def __init__(self, evaluate_every: int, on_step: Callable[[int, int], None]) -> None:
        self._evaluate_every = evaluate_every
        self._on_step = on_step
        self._measured_at = -1
        self.trainer: PolicyTrainer | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Before the first step; a resumed training was measured then."""
        assert self.trainer is not None
        self.trainer.begin()
        self._on_step(state.global_step, state.max_steps)
        if state.global_step == 0:
            self._measure(state)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Every `evaluate_every` steps."""
        self._on_step(state.global_step, state.max_steps)
        if self._evaluate_every and state.global_step % self._evaluate_every == 0:
            self._measure(state)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """After the last step."""
        self._measure(state)

    def _measure(self, state: Any) -> None:
        assert self.trainer is not None
        if state.global_step != self._measured_at:
            self._measured_at = state.global_step
            self.trainer.measure_held_out()
