"""What a curation would do, told before it begins. Stores nothing, loads no model, asks no server. Knows no Prefect."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from db import embeddings, measured, responses, runs
from db.engine import Session, Sessions, batches
from db.prompts import found_under_system_prompt, run_prompt_ids, stored_prompts
from models.generation.plan import missing_samples, samples_wanted
from models.model_files import embedding_size
from models.prompting import with_system_prompt
from models.records import EmbedderIdentity
from tasks.config.curation import CurateConfig
from tasks.curation.choices import check_curation, chosen_curation, prompts_to_sample
from tasks.curation.engines import (
    HASHED_DIMENSION,
    REQUEST_RETRIES,
    SERVED_ELSEWHERE,
    embedder_identity,
    generator_backend,
    generator_identity,
    generator_price,
    hashed_identity,
)
from tasks.database import looked_at, open_database
from tasks.estimates import (
    CHARACTERS_A_TOKEN,
    FROM_TEXT,
    Estimate,
    Figure,
    Limits,
    Sign,
    money_figure,
    rate,
    time_figure,
)
from tasks.named_models import look_up_model
from tasks.number_formats import with_format
from tasks.prices import price_of
from tasks.settings import Settings

PROMPTS_PER_LOOK = 2_000
STOPS = "then the run stops with what is sampled, and goes on with a larger one"
COMPONENT_BYTES, ROW_BYTES = 2, 4 + 8  # a vector's float16; its norm and its response's id
INDEX_COMPONENT_BYTES, INDEX_ID_BYTES = 4, 8  # float32, int64
# Measured on SQLite with the indexes, a row: of responses (beside the text), of embeddings, of candidates, of pairs.
RESPONSE_BYTES, EMBEDDING_BYTES, CANDIDATE_BYTES, PAIR_BYTES = 370, 70, 45, 145


@dataclass
class _Plan:
    """What the prompts need, counted page by page."""

    sampled_prompts: int = 0
    stored: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    missing: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    characters_in: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    candidates: int = 0
    to_embed: int = 0
    prompts_to_embed: int = 0

    @property
    def to_sample(self) -> int:
        return sum(self.missing.values())


@dataclass(frozen=True, slots=True)
class _Embedder:
    """Who embeds; no identity for a model that is not on this machine, no size where nothing says it."""

    backend: str
    model: str
    identity: EmbedderIdentity | None
    size: int | None


def estimate_curation(config: CurateConfig, settings: Settings) -> Estimate:
    """What a curation would do.

    Raises:
        Exception: Whatever `check_curation` raises; a price table that cannot be read.
    """
    with looked_at(settings) as settings:  # noqa: PLR1704 - from here on these are meant
        check_curation(config, settings)
        with open_database(settings) as sessions, sessions() as session:
            config, prompt_ids = chosen_curation(session, config)
            run_id = runs.find_unfinished(session, config.stored_keys())
            run = None if run_id is None else runs.get_run(session, run_id)
            if run is not None:
                prompt_ids = run_prompt_ids(session, run.id)
            config = with_format(config, run.dtype if run else None)
            return _Estimator(sessions, session, config, settings, run).estimate(prompt_ids)


class _Estimator:
    """Counts, then tells."""

    def __init__(
        self,
        sessions: Sessions,
        session: Session,
        config: CurateConfig,
        settings: Settings,
        run: runs.RunRecord | None,
    ) -> None:
        self._sessions = sessions
        self._session = session
        self._config = config
        self._settings = settings
        self._run = run
        self._is_served = generator_backend(config.generate) in SERVED_ELSEWHERE
        self._absent: dict[str, None] = {}
        self._measured: dict[str, list[measured.MeasuredResponse]] = {}

    def estimate(self, prompt_ids: list[int]) -> Estimate:
        embedder = self._embedder()
        plan = self._plan(prompt_ids, embedder)
        figures = [*self._counts(prompt_ids, plan), *self._tokens_and_money(plan)]
        figures += [*self._disk(prompt_ids, plan, embedder), *self._times(plan, embedder)]
        notes = [f"{name} is not on this machine: the hub would be asked for it first" for name in self._absent]
        if self._run is not None:
            notes.insert(0, f"takes up run {self._run.id}, which did not finish, with the prompts it began with")
        if (note := self._budget(figures)) is not None:
            notes.append(note)
        price = price_of("", None, input_price=0, output_price=0, settings=self._settings)
        return Estimate("curate", tuple(figures), tuple(notes), price.currency)

    def _budget(self, figures: list[Figure]) -> str | None:
        """What the budget of a server does; of several generators the run has one."""
        generate, run = self._config.generate, self._run
        spent = (run.requests, run.cost) if run else (0, 0.0)
        requests = next((figure for figure in figures if figure.name == "requests"), None)
        money = [figure for figure in figures if figure.unit == "money" and figure.value is not None]
        if requests is None:
            return None
        cost = replace(money[0], value=sum(figure.value or 0 for figure in money)) if money else None
        return Limits("generate", generate.max_requests, generate.max_cost, *spent).note(requests, cost, STOPS)

    def _plan(self, prompt_ids: list[int], embedder: _Embedder) -> _Plan:
        plan = _Plan()
        generators = {name: self._generator_id(name) for name in self._generators(prompt_ids)}
        for batch in batches(prompt_ids, PROMPTS_PER_LOOK):
            counts: dict[int, dict[int, int]] = {}
            ids, batch = self._as_opened(batch)  # noqa: PLW2901 - from here on these are meant
            plan.sampled_prompts += len(ids)
            for name, generator_id in generators.items():
                wanted = self._count_samples(plan, name, generator_id, ids)
                if generator_id is not None:
                    counts[generator_id] = wanted
            candidates = responses.different_candidates(
                self._session,
                batch,
                sample_counts=counts,
                has_references=self._config.source.has_references,
                has_cut=self._config.select.has_cut,
            )
            key = embedder.identity and embedder.identity.key
            embedded = embeddings.embedded_among(self._session, key, candidates) if key else 0
            plan.candidates += len(candidates)
            plan.to_embed += len(candidates) - embedded
            read = embeddings.embedded_among(self._session, key, batch, of="prompts") if key else 0
            plan.prompts_to_embed -= read
        plan.prompts_to_embed += len(prompt_ids)
        plan.candidates += plan.to_sample
        plan.to_embed += plan.to_sample
        return plan

    def _count_samples(self, plan: _Plan, name: str, generator_id: int | None, ids: list[int]) -> dict[int, int]:
        """Add what one generator has stored and lacks; return how many of its samples count, by prompt."""
        generate = self._config.generate
        texts = {} if generator_id is None else responses.generated_texts(self._session, generator_id, ids)
        wanted: dict[int, int] = {}
        for stored in stored_prompts(self._session, ids):
            of_prompt = texts.get(stored.id, {})
            tries = {"count": generate.responses_per_prompt, "extra_tries": generate.extra_tries}
            is_fixed = self._run is not None and self._run.has_fixed_candidates  # nothing is sampled any more
            missing = 0 if is_fixed else len(missing_samples(of_prompt, **tries))
            wanted[stored.id] = samples_wanted(of_prompt, **tries)
            messages = with_system_prompt(stored.prompt, generate.system_prompt)
            plan.missing[name] += missing
            plan.stored[name] += sum(index < wanted[stored.id] for index in of_prompt)
            plan.characters_in[name] += missing * sum(len(message.content) for message in messages)
        return wanted

    def _as_opened(self, prompt_ids: list[int]) -> tuple[list[int], list[int]]:
        """Which prompts are sampled for, and those that may have candidates by now, as the run would open with them."""
        ids, system_prompt = (
            prompts_to_sample(self._session, self._config, prompt_ids),
            self._config.generate.system_prompt,
        )
        if system_prompt is None or self._run is not None:
            return ids, prompt_ids
        told = found_under_system_prompt(self._session, ids, system_prompt)
        sampled = set(ids)
        rest = [id_ for id_ in prompt_ids if id_ not in sampled]
        return [told.get(id_, id_) for id_ in ids], [*rest, *told.values()]

    def _generators(self, prompt_ids: list[int]) -> Iterable[str]:
        """The models that sample: none where no prompt lacks responses, and then none need exist."""
        is_sampled = any(
            prompts_to_sample(self._session, self._config, batch) for batch in batches(prompt_ids, PROMPTS_PER_LOOK)
        )
        return self._config.generator_models if is_sampled else ()

    def _generator_id(self, name: str) -> int | None:
        local_model = None
        if not self._is_served:
            local_model = look_up_model(self._sessions, name, self._config.model, self._settings)
            if local_model is None:
                self._absent[name] = None
                return None
        return responses.find_generator(self._session, generator_identity(self._config, name, local_model))

    def _embedder(self) -> _Embedder:
        embed = self._config.embed
        if embed.backend == "hashed":
            return _Embedder("hashed", "hashed", hashed_identity(self._config), HASHED_DIMENSION)
        name = embed.model or self._config.model.name
        model = look_up_model(self._sessions, name, self._config.model, self._settings)
        if model is None:
            self._absent[name] = None
            return _Embedder(embed.backend, name, None, None)
        identity = embedder_identity(self._config, name, model)
        return _Embedder(embed.backend, name, identity, embedding_size(Path(model.location)))

    def _counts(self, prompt_ids: list[int], plan: _Plan) -> list[Figure]:
        generate = self._config.generate
        source = self._config.source.name or "every source"
        split = f", split {self._config.source.split}" if self._config.source.split else ""
        own = len(prompt_ids) - plan.sampled_prompts
        rest = f"; {own:,} have responses of their own" if own else ""
        draws = f"K {generate.responses_per_prompt} × {plan.sampled_prompts:,} prompts"
        sign: Sign = "≥" if generate.extra_tries and plan.to_sample else ""
        if len(self._config.generator_models) > 1:
            draws += f" × {len(self._config.generator_models)} models"
        if generate.extra_tries:
            draws += f"; duplicates are drawn anew, {generate.extra_tries} times at most"
        figures = [
            Figure("prompts", len(prompt_ids), f"{source}{split}{rest}"),
            Figure("responses stored", sum(plan.stored.values()), "of the same generator, cost nothing"),
            Figure("responses to sample", plan.to_sample, draws, sign),
        ]
        if generator_backend(generate) == "openai":
            basis = f"one a response, to {generate.base_url}; retries aside, {REQUEST_RETRIES} at most each"
            figures.append(Figure("requests", plan.to_sample, basis, sign))
        return figures

    def _tokens_and_money(self, plan: _Plan) -> list[Figure]:
        """Tokens of all generators; money where a server is paid."""
        if not plan.to_sample:
            return []
        generate, figures = self._config.generate, list[Figure]()
        for name, missing in plan.missing.items():
            of = f", {name}" if len(plan.missing) > 1 else ""
            stored = self._stored(name)
            tokens = sum(response.tokens for response in stored)
            characters = sum(response.characters for response in stored)
            a_token = characters / tokens if tokens and characters else CHARACTERS_A_TOKEN
            basis = f"{a_token:.1f} characters a token, as in its responses" if tokens else FROM_TEXT
            tokens_in = Figure(f"tokens in{of}", plan.characters_in[name] / a_token, basis, "≈")
            tokens_out = Figure(
                f"tokens out{of}",
                missing * generate.max_tokens * (1 + generate.extra_tries),
                f"generate.max_tokens {generate.max_tokens} each; no response of it is stored",
                "≤",
            )
            if tokens:
                mean = min(tokens / len(stored), generate.max_tokens)
                basis = f"{mean:.0f} a response, as in {len(stored):,} stored ones"
                tokens_out = Figure(tokens_out.name, missing * mean, basis, "≈")
            figures += [tokens_in, tokens_out]
            if generator_backend(generate) == "openai":
                price = generator_price(generate, name, self._settings)
                money = money_figure(price, tokens_in, tokens_out)
                figures.append(Figure(f"money{of}", money.value, money.basis, money.sign, money.unit))
        return figures

    def _disk(self, prompt_ids: list[int], plan: _Plan, embedder: _Embedder) -> list[Figure]:
        sign: Sign = "≤" if plan.to_sample else ""
        basis = "responses of the same text share one" if sign else "all others are stored"
        figures = [Figure("vectors to write", plan.to_embed, basis, sign)]
        of_prompts = Figure("prompts to embed", plan.prompts_to_embed, "one vector each; all others are stored")
        vectors = plan.to_embed + plan.prompts_to_embed
        if embedder.size is not None:
            a_row = embedder.size * COMPONENT_BYTES + ROW_BYTES
            basis = f"{embedder.size:,} × {COMPONENT_BYTES} + {ROW_BYTES} bytes each"
            size = plan.prompts_to_embed * a_row
            figures.append(Figure("disk, vectors", plan.to_embed * a_row, basis, sign, "bytes"))
            figures += [of_prompts, Figure("disk, vectors of prompts", size, basis, unit="bytes")]
            size = vectors * (embedder.size * INDEX_COMPONENT_BYTES + INDEX_ID_BYTES)
            basis = f"{embedder.size:,} × {INDEX_COMPONENT_BYTES} + {INDEX_ID_BYTES} bytes a vector, on disk alone"
            figures.append(Figure("disk, index", size, basis, sign, "bytes"))
        else:
            figures.append(Figure("disk, vectors", None, "the size of the vectors is not known here", unit="bytes"))
            figures.append(of_prompts)
        select = self._config.select
        a_prompt = round(plan.candidates / max(1, len(prompt_ids)))
        pairs = len(prompt_ids) * len(select.strategies) * min(select.pairs_per_prompt, a_prompt * (a_prompt - 1) // 2)
        if select.scope == "source_pairs":  # of two responses each, mostly
            pairs = round(plan.candidates / 2 * select.share) * len(select.strategies)
        size = plan.to_sample * RESPONSE_BYTES + vectors * EMBEDDING_BYTES
        size += plan.candidates * CANDIDATE_BYTES + pairs * PAIR_BYTES
        for name, missing in plan.missing.items():
            stored = self._stored(name)
            longest = self._config.generate.max_tokens * CHARACTERS_A_TOKEN
            mean = sum(response.characters for response in stored) / len(stored) if stored else longest
            draws = missing if stored else missing * (1 + self._config.generate.extra_tries)
            size += round(draws * mean + (draws - missing) * (RESPONSE_BYTES + CANDIDATE_BYTES))
        rows_sign: Sign = "≤" if plan.to_sample and not all(map(self._stored, plan.missing)) else "≈"
        basis = f"texts, places of vectors, some {pairs:,} pairs"
        return [*figures, Figure("disk, database", size, basis, rows_sign, "bytes")]

    def _stored(self, name: str) -> list[measured.MeasuredResponse]:
        """What is stored of a generator's model, read once."""
        if name not in self._measured:
            max_tokens = self._config.generate.max_tokens
            self._measured[name] = measured.responses_of(self._session, name, max_tokens=max_tokens)
        return self._measured[name]

    def _times(self, plan: _Plan, embedder: _Embedder) -> list[Figure]:
        starts, generation = measured.run_starts(self._session), list[Figure]()
        for name, missing in plan.missing.items():
            of = f", {name}" if len(plan.missing) > 1 else ""
            stored = self._stored(name)
            per_second = rate([response.stored_at for response in stored], starts)
            generation.append(time_figure(f"time, sampling{of}", missing, per_second, unit="responses"))
        per_second = measured.embedding_rate(self._session, backend=embedder.backend, model=embedder.model)
        return [
            *generation,
            time_figure(
                "time, embedding", plan.to_embed + plan.prompts_to_embed, per_second, unit="responses and prompts"
            ),
        ]
