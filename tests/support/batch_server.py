"""A real server of OpenAI's batch API beside chat completions, which misbehaves as a test says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from chat_server import Answer, ChatHandler, ChatServer


class BatchApi(ChatServer):
    """Works on a batch when it is looked at; every line is answered by `reply`, and counted in `paid`.

    Attributes:
        uploads: The files sent, by name.
        batches: The batches made, by name.
        looks: How often a batch is under way when it is looked at.
        alter: Makes of the lines of a file of results what is really sent.
        status: In which a batch ends.
        failure: Why it fails, if it does.
        answered: How many lines of a batch are answered; None: all.
        faults: Statuses with which the next requests of "METHOD path" are answered, after they took effect.
        refusals: The same, without effect.
        answers: What is said to "METHOD path" in place of the own answer, after it took effect.
        paid: custom_ids that were answered, each as often as it was.
    """

    def __init__(self) -> None:
        super().__init__()
        self.RequestHandlerClass = BatchHandler
        self.uploads: dict[str, bytes] = {}
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.looks = 1
        self.alter: Callable[[list[bytes]], list[bytes]] = lambda lines: lines
        self.status = "completed"
        self.failure = ""
        self.answered: int | None = None
        self.faults: dict[str, list[int]] = {}
        self.refusals: dict[str, list[int]] = {}
        self.answers: dict[str, Any] = {}
        self.paid: list[str] = []
        self.calls: list[str] = []
        self.page = 100

    def complete(self, batch: dict[str, Any]) -> None:
        """Answer the lines of a batch, and write its files."""
        if self.failure:
            batch |= {"status": "failed", "errors": {"data": [{"message": self.failure}]}}
            return
        lines = self.files[batch["input_file_id"]].splitlines()
        output, errors = [], []
        for line in [json.loads(line) for line in lines][: self.answered]:
            status, content = self.reply(line["body"], len(self.paid) + 1)
            self.bodies.append(line["body"])
            answer = {"id": "r", "custom_id": line["custom_id"], "error": None}
            answer["response"] = {"status_code": status, "body": json.loads(content)}
            (output if status == 200 else errors).append(json.dumps(answer).encode())
            if status == 200:
                self.paid.append(line["custom_id"])
        for name, found in (("output_file_id", output), ("error_file_id", errors)):
            if found:
                batch[name] = f"file-{batch['id']}-{name}"
                self.files[batch[name]] = b"\n".join(self.alter(found)) + b"\n"
        batch["status"] = self.status


class BatchHandler(ChatHandler):
    server: BatchApi

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        self._serve("GET", path, lambda: self._got(path, query))

    def do_POST(self) -> None:
        if self.path == "/v1/chat/completions":
            super().do_POST()
            return
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.keys.add(self.headers["Authorization"])
        self._serve("POST", self.path, lambda: self._file(body) if self.path == "/v1/files" else self._batch(body))

    def _serve(self, method: str, path: str, act: Callable[[], Answer]) -> None:
        name = f"{method} " + re.sub(r"(batches|files)/.*?(/content)?$", r"\1/ID\2", path)
        self.server.calls.append(name)
        if statuses := self.server.refusals.get(name):
            status, content = statuses.pop(0), b'{"error": {"message": "not now"}}'
        else:
            status, content = act()
            if name in self.server.answers:
                status, content = _json(self.server.answers[name])
            if statuses := self.server.faults.get(name):
                status, content = statuses.pop(0), b'{"error": {"message": "lost"}}'
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _got(self, path: str, query: str) -> Answer:
        server = self.server
        if path == "/v1/batches":
            names = list(server.batches)[::-1]
            after = re.search("after=([^&]*)", query)
            start = names.index(after[1]) + 1 if after else 0
            page = names[start : start + server.page]
            return _json(
                {"data": [server.batches[name] for name in page], "has_more": start + server.page < len(names)}
            )
        name = path.split("/")[3]
        if path.startswith("/v1/files/"):
            return (200, server.files[name]) if name in server.files else (404, b"{}")
        if name not in server.batches:
            return 404, b"{}"
        batch = server.batches[name]
        if batch["status"] == "in_progress":
            batch["looks"] += 1
            if batch["looks"] > server.looks:
                server.complete(batch)
        return _json(batch)

    def _file(self, body: bytes) -> Answer:
        name = f"file-{len(self.server.files)}"
        content = body.split(b"application/jsonl\r\n\r\n")[1].rsplit(b"\r\n--", 1)[0]
        self.server.files[name] = self.server.uploads[name] = content
        return _json({"id": name})

    def _batch(self, body: bytes) -> Answer:
        name = f"batch_{len(self.server.batches)}"
        batch = {"id": name, "status": "in_progress", "looks": 0, **json.loads(body)}
        self.server.batches[name] = batch
        return _json(batch)


def _json(value: Any) -> Answer:
    return 200, json.dumps(value).encode()
