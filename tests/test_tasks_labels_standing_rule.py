"""Preferences under the standing rule are what a recomputation makes of the judgements: an export trusts them."""

from __future__ import annotations

from contextlib import suppress
from itertools import count

from hypothesis import HealthCheck, example, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from labelling_steps import label, write_lines
from queued_pairs import judge, open_queue, person, take, undo
from sqlalchemy import select
from stored_labels import judge as judge_as_shown
from stored_rows import add, open_run
from surroundings import on_sqlite

from db import pairs, runs
from db.labels import labelling, preferences
from db.schema.curation import Prompt, Response
from models.labelling.records import AnnotatorIdentity
from models.records import ImportedResponse, ImportedRow, Pair, content_key
from models.records import Prompt as ReadPrompt
from tasks.labels.label_import import import_labels

SCORES = ((1.0, 2.0), (3.0, 2.0), (5.0, 6.0))
PEOPLE = ("anna", "ben")
numbers = count()

who, at = st.sampled_from(PEOPLE), st.integers(0, len(SCORES) - 1)
verdicts = st.sampled_from(["first", "second", "tie", "skip"])
steps = st.one_of(
    st.tuples(st.just("page"), who, st.sampled_from(["left", "right", "tie", "both_bad", "skip"])),
    st.tuples(st.just("undo"), who),
    st.tuples(st.just("import_"), who, at, verdicts, st.integers(2020, 2030), st.sampled_from([None, "slightly"])),
    st.tuples(st.just("label"), st.sampled_from([1.0, 1.4, 1.8])),
    st.tuples(st.just("both_orders"), who, at, verdicts, verdicts),
)


class Labels:
    """The pairs of a run of its own, and all who say something of them."""

    def __init__(self, sessions, settings, folder):
        self.sessions, self.settings, self.file = sessions, settings, folder / "labels.jsonl"
        name = f"example {next(numbers)}"
        self.names = {one: f"{one} of {name}" for one in PEOPLE}
        add(sessions, *(
            ImportedRow(number, ReadPrompt.from_text(f"{name}, prompt {number}"), (
                ImportedResponse(f"{number} one", score=one), ImportedResponse(f"{number} other", score=other),
            ))
            for number, (one, other) in enumerate(SCORES, start=1)
        ), name=name)  # fmt: skip
        prompts = responses_of(sessions, name)
        run_id = open_run(sessions, sorted(prompts), key=content_key(name))
        with sessions.begin() as session:
            pairs.add_pairs(session, run_id, [Pair("easy", id_, *two, 0.5, 1, 1) for id_, two in prompts.items()])
            runs.set_status(session, run_id, runs.COMPLETED)
        with sessions() as session:
            self.pairs = labelling.pair_keys(session, run_id)
        self.run_id, self.queue = run_id, open_queue(sessions, self.pairs, k=2, name=name)
        self.people = {one: person(sessions, name) for one, name in self.names.items()}

    def page(self, who, verdict):
        if (shown := take(self.sessions, self.queue, self.people[who])) is not None:
            judge(self.sessions, shown, self.people[who], verdict)

    def undo(self, who):
        with suppress(ValueError):  # a skipped pair that went to somebody else stays skipped
            undo(self.sessions, self.queue, self.people[who])

    def import_(self, who, at, verdict, year, strength):
        two = dict(zip(("left_response_id", "right_response_id"), self.pairs[at], strict=True))
        said = {"annotator": self.names[who], "verdict": verdict, "judged_at": f"{year}-01-01", "strength": strength}
        write_lines(self.file, [two | said])
        assert import_labels(self.file, None, self.settings).rejected == 0

    def label(self, min_ratio):
        label(annotator="scores", scores={"min_ratio": min_ratio}, pairs={"run": str(self.run_id)})

    def both_orders(self, who, at, *verdicts):
        """What a database of long ago may hold: a person was shown the pair twice."""
        for left, verdict in zip(self.pairs[at], verdicts, strict=True):
            judge_as_shown(self.sessions, AnnotatorIdentity("person", self.names[who]), self.pairs[at], verdict, left)

    def changes(self):
        with self.sessions() as session:
            return preferences.recompute(session, self.pairs)


def responses_of(sessions, name):
    """The responses to each prompt of an example."""
    query = select(Prompt.id, Response.id).join(Response, Response.prompt_id == Prompt.id).order_by(Response.id)
    by_prompt = {}
    with sessions() as session:
        for prompt_id, id_ in session.execute(query.where(Prompt.text.startswith(f"{name}, "))):
            by_prompt.setdefault(prompt_id, []).append(id_)
    return by_prompt


@on_sqlite
@examples(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(taken=st.lists(steps, min_size=1, max_size=10))
@example(taken=[("both_orders", "anna", 0, "first", "second"), ("import_", "anna", 0, "second", 2100, None)])
def test_after_any_mix_of_writers_a_recomputation_of_all_pairs_changes_nothing(settings, sessions, tmp_path, taken):
    labels = Labels(sessions, settings, tmp_path)
    for name, *arguments in taken:
        getattr(labels, name)(*arguments)
        assert labels.changes() == preferences.Changes(), name
