"""The demo's curation and a judge's run on a Ray cluster that loses a node in each give the local engine's rows."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
from curation_steps import curate
from labelling_steps import label
from object_storage import names, s3_server
from ray_backends import cluster, has_ray
from reward_models import make_reward_model
from sqlalchemy import func, select
from stored_rows import add
from surroundings import on_postgresql, on_sqlite

from db import embeddings
from db.schema import curation, labels
from models.demo.corpus import demo_prompts
from models.index.making import Encoder
from models.processes.ray_cluster import RayMissingError
from models.processes.ray_pool import RayPool
from models.records import ImportedRow, Prompt
from tasks.config.curation import CurateConfig
from tasks.curation.engines import vector_store
from tasks.database import open_database
from tasks.devices import device
from tasks.settings import Settings

PROMPTS = 24
GONE_S = 30
ROUNDED = ("probability", "margin", "strength", "seconds")


def configured(model):
    return CurateConfig.model_validate(
        {
            "model": {"name": str(model), "dtype": "float32"},
            "generate": {
                "backend": "transformers",
                "responses_per_prompt": 4,
                "max_tokens": 24,
                "prompts_per_shard": 6,
            },
            "embed": {"responses_per_shard": 16},
            "index": {"factory": "IVF4,SQ8"},
            "select": {"has_cut": True},
        }
    )


def worked(folder, patch, model, judge, *, engine, database=None, on_start=lambda sessions: None):
    """A curation and a judge's run in an installation of their own; what is stored of them."""
    patch.setenv("ANTIPODE_ARTIFACT_ROOT", str(folder))
    patch.setenv("ANTIPODE_DATABASE_URL", database or f"sqlite:///{folder / 'antipode.db'}")
    patch.setenv("ANTIPODE_ENGINE", engine)
    folder.mkdir()
    with open_database(Settings()) as sessions:
        add(
            sessions,
            *(ImportedRow(n, Prompt.from_text(text)) for n, text in enumerate(demo_prompts("train")[:PROMPTS])),
        )
        on_start(sessions)
        run_id = curate(configured(model))
        label(
            annotator="reward_model",
            pairs={"run": str(run_id)},
            reward_model={"name": judge, "dtype": "float32"},
            pairs_per_shard=4,
        )
        return stored(sessions)


def stored(sessions):
    """Rows by table, without times; and what is equal but for rounding: margins, and vectors."""
    with sessions() as session:
        (embedder,) = embeddings.list_embedders(session)
        rows = {}
        for table in (curation.Response, curation.Candidate, curation.Pair, labels.Judgement, labels.Preference):
            names = [
                column.key
                for column in table.__table__.columns
                if not column.key.endswith("_at") and column.key not in ROUNDED
            ]
            query = select(*(getattr(table, name) for name in names)).order_by(*table.__table__.primary_key.columns)
            rows[table.__tablename__] = [tuple(row) for row in session.execute(query)]
        places = session.scalars(select(curation.Embedding).order_by("response_id")).all()
        rows["embeddings"] = [(one.response_id, one.row, one.token_count, one.is_truncated) for one in places]
        store = vector_store(embedder.key, Settings())
        vectors = store.gather([one.shard for one in places], [one.row for one in places])
        margins = session.scalars(select(labels.Judgement.margin).order_by("id")).all()
        return rows, (vectors, np.array(margins))


@on_sqlite
def test_a_cluster_that_loses_nodes_gives_the_rows_of_the_local_engine(
    tmp_path, monkeypatch, demo_model, sessions, capsys
):
    started = []

    def start(pool, build, *rest, **settings):
        started.append(build)
        return start_on(pool, build, *rest, **settings)

    start_on = RayPool.start
    monkeypatch.setattr(RayPool, "start", start)
    assert_rows_of_the_local_engine(tmp_path, monkeypatch, demo_model)
    assert started.count(Encoder) == 2, "the indexes of responses and of prompts are filled there"
    hint = (
        "a shard of 6 prompts is little for 3 models, which wait for the last of each: --generate.prompts_per_shard 768"
    )
    told = capsys.readouterr().err
    assert told.count(hint) == 1, "told on the cluster, not by the local engine"
    assert "Ray cluster: 3 models at once on 4 nodes" in told


@on_postgresql
def test_it_does_so_with_vectors_in_a_bucket_whose_server_is_gone_for_half_a_minute(
    tmp_path, monkeypatch, demo_model, database_url, elsewhere, caplog
):
    with s3_server() as server:

        @contextmanager
        def without_it():
            server.gateway.stop()
            yield
            time.sleep(GONE_S)
            server.gateway.start()

        monkeypatch.setenv("ANTIPODE_ARTIFACT_URL", url := server.new_bucket())
        monkeypatch.setenv("ANTIPODE_ARTIFACT_WAIT_S", "600")
        assert_rows_of_the_local_engine(
            tmp_path, monkeypatch, demo_model, database_url, elsewhere.database, loss=without_it
        )
        assert names(f"{url}/vectors") and names(f"{url}/indexes")
    for told in ("does not answer; waiting up to 600 s for it", "answers again"):
        assert any(told in line for line in caplog.messages)


def assert_rows_of_the_local_engine(
    tmp_path, monkeypatch, demo_model, database=None, other_database=None, loss=nullcontext
):
    """A cluster that loses a node in either run, its artifacts where the settings say; the local engine in a folder.

    `loss` holds while a node is lost in the midst of embedding.
    """
    has_ray()
    judge = make_reward_model(demo_model, tmp_path / "judge")
    with monkeypatch.context() as alone:
        alone.delenv("ANTIPODE_ARTIFACT_URL", raising=False)
        rows, numbers = worked(tmp_path / "local", alone, demo_model, judge, engine="local", database=other_database)
    with cluster(1) as nodes:
        dying = [nodes.add_node(num_cpus=1) for _ in range(2)]
        nodes.wait_for_nodes()
        losses, watching = [], []

        def lose_nodes(sessions):
            def watch():
                for node, table in zip(dying, (curation.Embedding, labels.Judgement), strict=True):
                    while True:
                        with sessions() as session:
                            if session.scalar(select(func.count()).select_from(table)):
                                break
                        time.sleep(0.01)
                    with loss() if table is curation.Embedding else nullcontext():
                        nodes.remove_node(node, allow_graceful=False)
                    losses.append(table)

            watching.append(threading.Thread(target=watch, daemon=True))
            watching[0].start()

        there, their_numbers = worked(
            tmp_path / "ray", monkeypatch, demo_model, judge, engine="ray", database=database, on_start=lose_nodes
        )
        watching[0].join(timeout=60)
    assert losses == [curation.Embedding, labels.Judgement], (
        "a node was lost while texts were embedded, one while judged"
    )
    assert there == rows and len(rows["responses"]) == 4 * PROMPTS and rows["judgements"]
    for own, other in zip(numbers, their_numbers, strict=True):
        np.testing.assert_allclose(other, own, atol=1e-3)


@on_sqlite
def test_without_ray_nothing_changes_and_asking_for_it_says_what_to_install(sessions, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with device(is_shared_out=True) as backends:
        assert not isinstance(backends, RayPool)
    monkeypatch.setenv("ANTIPODE_ENGINE", "ray")
    asked = r"ANTIPODE_ENGINE=ray needs the extra `ray`: pip install -e '\.\[ray\]'"
    with (
        pytest.raises(RayMissingError, match=asked),
        device(is_shared_out=True),
    ):
        pass
    with device() as backends:
        assert not isinstance(backends, RayPool), "what cannot be shared out stays here"
