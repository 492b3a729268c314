"""Two people label the same run at the labelling page; what they contradict each other on, a third person settles.

    .venv/bin/python examples/team.py [PROMPTS]

The people are played here: each signs in by a link of their own, as a browser does, and answers over HTTP. Everything
is left in the folder example-team-PROMPTS; given again, the script makes nothing twice. docs/examples/team.md goes
through it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from models.demo.corpus import demo_prompts

PROMPTS = int(sys.argv[1]) if len(sys.argv) > 1 else 24
FOLDER = Path(f"example-team-{PROMPTS}")
# The command line of the Python that runs this.
ENVIRONMENT = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def main() -> None:
    """Pairs, people, a contradiction settled, an export."""
    FOLDER.mkdir(exist_ok=True)
    os.chdir(FOLDER)

    say(f"{PROMPTS} questions, four answers each, the pair of least similar answers")
    rows = [json.dumps({"prompt": prompt}) + "\n" for prompt in demo_prompts("train")[:PROMPTS]]
    Path("questions.jsonl").write_text("".join(rows))
    run("antipode import questions.jsonl --name questions")
    run(
        "antipode curate --name team --source.name questions --model.name demo"
        " --generate.backend transformers --generate.responses_per_prompt 4 --generate.max_tokens 96"
        " --select.strategies easy"
    )

    say("The labelling page: Anna and Ben share the pairs, half of which both judge; Lea leads, and settles")
    page = "antipode web --run team --annotators anna,ben --lead lea --judgements_per_pair 2 --overlap 0.5"
    with labelling_page(page) as links:
        run("antipode queue 1 --has_comment")
        run("antipode queue 1 --adjudicators lea")
        anna, ben, lea = (Person(name, links[name]) for name in ("anna", "ben", "lea"))
        label_in_turns(1, anna, ben)
        settle(2, lea)

    say("How well they agree, and the file for a trainer: what Lea said decides where the two did not agree")
    run("antipode people --details")
    run("antipode quality --run team")
    run("antipode export preferences.jsonl --run team")
    print(f"\nDone: {Path.cwd() / 'preferences.jsonl'}")
    print("Next: the same with people: antipode import FILE, antipode curate, antipode web --annotators NAME,NAME")


def run(command: str) -> None:
    """Run a command to its end; if it fails, so does the example."""
    print(f"\n$ {command}", flush=True)
    subprocess.run(shlex.split(command), env=ENVIRONMENT, check=True)


@contextmanager
def labelling_page(command: str) -> Iterator[dict[str, str]]:
    """Serve the page at a free port, and stop it as Ctrl-C does; the link that it prints for each person, by name."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    print(f"\n$ {command} --port {port}", flush=True)
    arguments = [*shlex.split(command), "--port", str(port)]
    page = subprocess.Popen(arguments, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    assert page.stdout is not None
    try:
        links = {}
        for line in page.stdout:
            if found := re.match(r"  (\w+): (http\S+)", line):
                links[found[1]] = found[2]
            if line.startswith("Ctrl-C"):
                break
        yield links
    finally:
        page.send_signal(signal.SIGINT)
        page.communicate(timeout=60)


class Person:
    """A person's browser, signed in by their link."""

    def __init__(self, name: str, link: str) -> None:
        """Open the link: the page answers with a cookie."""
        self.name = name
        origin = link.partition("/sign-in")[0]
        self._browser = httpx.Client(base_url=origin, headers={"Origin": origin}, timeout=60)
        self._browser.get(link).raise_for_status()

    def next_pair(self, queue_id: int) -> dict[str, Any] | None:
        """What lies before the person in a queue, `pair` and, where they settle, `votes`; None: nothing is left."""
        content = self._browser.get(f"/queues/{queue_id}/pair").raise_for_status().json()
        return content if content["pair"] else None

    def lengths(self, queue_id: int) -> dict[int, int]:
        """The characters of the two responses before the person, by their ids."""
        texts = self._browser.get(f"/queues/{queue_id}/texts").raise_for_status().json()["texts"]
        return {int(response_id): len(text) for response_id, text in texts.items()}

    def judge(self, queue_id: int, pair: dict[str, Any], verdict: str, comment: str | None = None) -> None:
        """Send a verdict on the pair as it was shown, with the seconds that it took and why, if the person says so."""
        body = {name: pair[name] for name in ("left_id", "right_id", "shown_at")}
        body |= {"person": self.name, "verdict": verdict, "seconds": 2.0, "comment": comment}
        answer = self._browser.post(f"/queues/{queue_id}/verdicts", json=body).raise_for_status().json()
        assert answer["is_stored"], answer


def label_in_turns(queue_id: int, *people: Person) -> None:
    """Each takes the next pair and finds the shorter answer better; on one pair the second to see it says otherwise."""
    seen: set[frozenset[int]] = set()
    has_differed = False
    waiting = list(people)
    while waiting:
        someone = waiting.pop(0)
        if (content := someone.next_pair(queue_id)) is None:
            continue
        pair, lengths = content["pair"], someone.lengths(queue_id)
        shorter = min(lengths, key=lambda response_id: (lengths[response_id], response_id))
        differs = frozenset(lengths) in seen and not has_differed
        is_left = (shorter == pair["left_id"]) != differs
        comment = "The longer one says why." if differs else None
        someone.judge(queue_id, pair, "left" if is_left else "right", comment)
        has_differed |= differs
        seen.add(frozenset(lengths))
        waiting.append(someone)
    print(f"{' and '.join(one.name for one in people)} have labelled {len(seen)} pairs")


def settle(queue_id: int, someone: Person) -> None:
    """Who settles sees what the others said, not who; here they follow the vote that comes with a comment."""
    while content := someone.next_pair(queue_id):
        reasoned = next((vote for vote in content["votes"] if vote["comment"]), content["votes"][0])
        someone.judge(queue_id, content["pair"], reasoned["verdict"], comment="I agree.")
        print(f"{someone.name} has settled a contradiction: {reasoned['comment']!r} decides")


def say(heading: str) -> None:
    """Print what comes next."""
    print(f"\n== {heading}", flush=True)


if __name__ == "__main__":
    main()
