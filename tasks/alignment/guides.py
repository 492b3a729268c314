"""LD-Align's guide at work: what it starts from, trained once a run, looked at, then asked for distances.

Knows no Prefect.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing, nullcontext
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from db.labels.preferences import preferred_responses
from db.latent_distances import add_check, check_of
from db.samples import Sample
from models.fingerprint import model_fingerprint
from models.guide import GuideCheck, GuideSettings, GuideText, GuideTrainingResult
from models.guide.checks import advice, latent_use, length_correlation
from models.guide.distances import farther_is_worse, latent_distances
from models.guide.isolated import IsolatedGuide, IsolatedGuideReader
from models.guide.pretrained import PRETRAINED, PROBE_S, Base, positions_of, pretrained_base
from models.guide.results import stored_result
from models.labelling.rules import STANDING_RULE
from models.records import content_key
from tasks.alignment.data import AlignmentAtWork
from tasks.config.rounds import (
    GUIDE_RATE_FROM_SCRATCH,
    GUIDE_RATE_PRETRAINED,
    WHERE_IT_LOADS,
    GuideConfig,
    LdAlignConfig,
)
from tasks.database import in_turn
from tasks.devices import device
from tasks.errors import GuideError
from tasks.named_models import NamedModel
from tasks.progress import say, step_progress
from tasks.storage import brought_folder, objects_of, share_folder

GUIDES = "guides"
KEY_DIGITS = 16
MOST_TEXTS = 512  # held-out texts that a guide is looked at with: its interval is narrow enough then
MOST_COUPLES = 2_048

GoldenPair = tuple[Sample, Sample]
"""A golden response and the policy's sample for the same prompt."""


class Couple(NamedTuple):
    """A prompt's golden response, and two others of which a label says which is the better one."""

    golden: GuideText
    better: GuideText
    worse: GuideText


def possible_bases(config: LdAlignConfig) -> list[LdAlignConfig]:
    """The configuration with each base that `auto` can stand for, the configuration alone where it says which."""
    if config.guide.base != WHERE_IT_LOADS:
        return [config]
    is_scratch = config.rounds.weights == "unit" or _why_too_short(config.guide, PRETRAINED)
    names = [None] if is_scratch else [None, PRETRAINED]
    return [with_base(config, name) for name in names]


def settled_base(config: LdAlignConfig) -> LdAlignConfig:
    """The configuration with the base that `auto` stands for here and now; which, and why, is said.

    Raises:
        GuideError: If the base that it names takes fewer tokens than the guide is to read.
    """
    named = config.guide.base
    if config.rounds.weights == "unit":
        return possible_bases(config)[0]
    reason = _why_too_short(config.guide, PRETRAINED if named == WHERE_IT_LOADS else named)
    if named != WHERE_IT_LOADS:
        if reason:
            raise GuideError(f"the guide cannot start from {named}: {reason}; lower --guide.max_length")
        return config
    base = Base(None, reason) if reason else pretrained_base(probe_s=PROBE_S)
    how = f"from {base.name}" if base.name else f"from scratch, not from {PRETRAINED}: {base.reason}"
    say(f"the guide starts {how}")
    return with_base(config, base.name)


def _why_too_short(guide: GuideConfig, base: str | None) -> str:
    """Why a base does not take what the guide is to read; empty where it does, or where that is not known."""
    count = None if base is None else positions_of(base)
    needed = guide.max_length + guide.prefix_length
    if count is None or needed <= count:
        return ""
    return f"it takes {count:,} tokens, and guide.max_length and guide.prefix_length ask for {needed:,}"


def with_base(config: LdAlignConfig, name: str | None) -> LdAlignConfig:
    """The configuration with a guide that starts from this model, None: from scratch."""
    return config.model_copy(update={"guide": config.guide.model_copy(update={"base": name})})


def guide_settings_of(config: GuideConfig, policy: NamedModel, *, dtype: str, seed: int) -> GuideSettings:
    """The guide's settings; from scratch it reads by the tokenizer of the policy."""
    assert config.base != WHERE_IT_LOADS  # settled where the run was opened
    rate = GUIDE_RATE_PRETRAINED if config.base else GUIDE_RATE_FROM_SCRATCH
    values = config.model_dump(exclude={"must_use_latent"}) | {"learning_rate": config.learning_rate or rate}
    return GuideSettings(revision=None, tokenizer=config.base or policy.location, dtype=dtype, seed=seed, **values)


def guided_distances(
    run: AlignmentAtWork[LdAlignConfig],
    pairs: Sequence[GoldenPair],
    first: NamedModel,
    first_pairs: Sequence[GoldenPair],
) -> NDArray[np.float64]:
    """The latent distance of each pair, shape (n,).

    One guide serves all rounds: it is trained on golden responses and samples of the first model, `first_pairs`, and
    named by them.
    What it was found to do is stored with the run when it is first asked.

    Raises:
        GuideError: If it does without its latent vector, unless the configuration says to go on.
    """
    config, settings = run.config, run.settings
    texts, trained_on = ([_text(sample) for pair in of for sample in pair] for of in (pairs, first_pairs))
    guide_settings = guide_settings_of(config.guide, run.base, dtype=config.rounds.dtype, seed=config.seed)
    golden = sorted((one.prompt.key, one.text) for one, _ in first_pairs)
    sampling = (first.fingerprint, config.seed, config.sample_temperature, config.max_tokens)
    base = [model_fingerprint(config.guide.base, None)] if config.guide.base else []
    cut = sorted((one.prompt.key, one.is_cut, two.is_cut) for one, two in first_pairs if one.is_cut or two.is_cut)
    names = (guide_settings.key, run.base.fingerprint, golden, sampling, *base)
    folder = guide_folder(settings.artifact_root / GUIDES, names, cut)
    log_path = settings.artifact_root / "logs" / "guide.log"
    with in_turn(run.sessions, f"guide {folder.name}") if objects_of(settings) else nullcontext():
        brought_folder(f"{GUIDES}/{folder.name}", settings)
        trained = _trained(trained_on, guide_settings, folder, log_path)
        share_folder(trained.folder, settings)
    if count := trained.truncated_count:
        say(f"the guide read {count:,} of {len(trained_on):,} responses cut; raise guide.max_length")
    with (
        device(is_shared_out=True) as backends,
        closing(IsolatedGuideReader(trained.folder, log_path=log_path, timeout_s=None, start=backends.start)) as reader,
    ):
        latent = reader.encode(texts)
        distances = latent_distances(latent[0::2], latent[1::2])
        with run.sessions() as session:
            check = check_of(session, run.run_id)
        if check is None:
            check = _check(run, reader, pairs, distances)
            with run.sessions.begin() as session:
                add_check(session, run.run_id, check, folder=folder.name)
    if not check.uses_latent:
        if config.guide.must_use_latent:
            raise GuideError(f"{advice(check)}; to go on all the same: --no-guide.must_use_latent")
        say(advice(check))
    return distances


def _trained(texts: Sequence[GuideText], settings: GuideSettings, folder: Path, log_path: Path) -> GuideTrainingResult:
    with (
        device() as backends,
        closing(IsolatedGuide(log_path=log_path, timeout_s=None, start=backends.start)) as guide,
        step_progress("guide", "training steps") as on_step,
    ):
        return guide.train(texts, settings, folder, on_step=on_step)


def guide_folder(root: Path, names: Sequence[object], cut: Sequence[object]) -> Path:
    """Where the guide of these names is kept, `cut` says which of its texts were cut when they were sampled.

    An earlier version gave every text an end, cut or not: its guide serves where none was, and has its name.
    """
    earlier = root / content_key(*names)[:KEY_DIGITS]
    stored = None if cut else stored_result(earlier)
    if stored is not None and not stored.truncated_count:
        return earlier
    return root / content_key(*names, cut)[:KEY_DIGITS]


def _check(
    run: AlignmentAtWork[LdAlignConfig],
    guide: IsolatedGuideReader,
    pairs: Sequence[GoldenPair],
    distances: NDArray[np.float64],
) -> GuideCheck:
    assert run.data.golden is not None  # a run in rounds has them
    held_out = [_text(sample) for sample in run.data.golden.held_out[:MOST_TEXTS]]
    use = latent_use(held_out, guide.encode(held_out), guide.reconstruction_nats)
    couples = _labelled_couples(run)
    golden = guide.encode([couple.golden for couple in couples])
    better = guide.encode([couple.better for couple in couples])
    worse = guide.encode([couple.worse for couple in couples])
    farther = farther_is_worse(
        (latent_distances(golden, better), latent_distances(golden, worse)),
        (np.ones(len(couples)), np.zeros(len(couples))),
        [couple.golden.prompt.key for couple in couples],
    )
    return GuideCheck(
        base=run.config.guide.base,
        text_count=len(held_out),
        own_loss=use.own_loss,
        other_loss=use.other_loss,
        gain=use.gain,
        pair_count=len(pairs),
        length_correlation=length_correlation(
            distances, [golden.text for golden, _ in pairs], [sample.text for _, sample in pairs]
        ),
        couple_count=farther.count,
        farther_is_worse=farther.rate,
    )


def _labelled_couples(run: AlignmentAtWork[LdAlignConfig]) -> list[Couple]:
    """Responses to golden prompts, neither of them golden, of which the stored labels say which is the better one.

    Those of held-out prompts come first. The guide saw no label.
    """
    golden = run.data.golden
    assert golden is not None  # a run in rounds has them
    texts = {sample.prompt_id: _text(sample) for part in (golden.held_out, golden.train) for sample in part}
    with run.sessions() as session:
        couples = (
            Couple(
                texts[row.prompt_id],
                GuideText(texts[row.prompt_id].prompt, row.better, row.is_better_cut),
                GuideText(texts[row.prompt_id].prompt, row.worse, row.is_worse_cut),
            )
            for row in preferred_responses(session, STANDING_RULE, list(texts))
            if texts[row.prompt_id].response not in (row.better, row.worse)
        )
        return list(islice(couples, MOST_COUPLES))


def _text(sample: Sample) -> GuideText:
    return GuideText(sample.prompt, sample.text, sample.is_cut)
