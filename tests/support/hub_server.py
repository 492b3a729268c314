"""A hub on this machine: as much of its HTTP API as the client library needs for data sets, and ways to misbehave."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import yaml

TOKEN = "hf_" + "t0ken" * 6


class Repository:
    """Files by name, as they are after each commit; the large ones by their SHA-256 in the hub's storage."""

    def __init__(self, *, is_private):
        self.is_private, self.commits = is_private, [{}]

    @property
    def files(self):
        return self.commits[-1]

    @property
    def sha(self):
        return hashlib.sha1(str(len(self.commits)).encode()).hexdigest()


class Hub:
    """What is stored, what was asked, and what goes wrong.

    `refusals`: status by pattern of "METHOD path", for the requests that match; `storage`: large files by SHA-256;
    `changed_meanwhile`: called before a commit is looked at.
    """

    def __init__(self):
        self.repositories, self.storage, self.licences = {}, {}, {}
        self.refusals, self.requests, self.url = {}, [], ""
        self.changed_meanwhile = lambda: None

    def count(self, pattern):
        return sum(1 for one in self.requests if re.search(pattern, one))

    def put(self, name, files, *, is_private=True):
        """A repository with files that somebody else made."""
        repository = self.repositories.setdefault(name, Repository(is_private=is_private))
        repository.commits.append(repository.files | files)


@contextmanager
def hub_serving():
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield hub
    server.shutdown()
    server.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        path = unquote(self.path.partition("?")[0])
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        line = f"{self.command} {path}"
        self.hub.requests.append(line)
        refused = next((status for one, status in self.hub.refusals.items() if re.search(one, line)), None)
        if refused is not None:
            self.say(refused, {"error": f"no, not with {self.headers['Authorization']}"})
            return
        for pattern, act in ROUTES:
            if match := re.fullmatch(pattern, line):
                act(self, *match.groups())
                return
        self.say(404, {"error": f"no route for {line}"})

    do_GET = do_POST = do_PUT = do_HEAD = answer

    def log_message(self, *_):
        pass

    @property
    def is_known(self):
        return self.headers["Authorization"] == f"Bearer {TOKEN}"

    def say(self, status, body, **headers):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def found(self, name):
        """The repository, if it is there for who asks."""
        repository = self.hub.repositories.get(name)
        if repository is None or (repository.is_private and not self.is_known):
            self.say(404 if self.is_known else 401, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
            return None
        return repository

    def info(self, name, _revision=None):
        if repository := self.found(name):
            siblings = [{"rfilename": file} for file in repository.files]
            self.say(200, {"id": name, "sha": repository.sha, "private": repository.is_private, "siblings": siblings})

    def tree(self, name, _revision):
        if repository := self.found(name):
            folder = {"type": "directory", "path": "data", "oid": "0" * 40}
            self.say(200, [folder, *map(entry, repository.files.items())])

    def model(self, name):
        licence = self.hub.licences.get(name)
        if licence is None:
            self.say(404, {"error": "not found"}, X_Error_Code="RepoNotFound")
        else:
            self.say(200, {"id": name, "sha": "0" * 40, "cardData": {"license": licence}})

    def create(self):
        wanted = json.loads(self.body)
        name = f"{wanted['organization']}/{wanted['name']}"
        if not self.is_known:
            self.say(401, {"error": "Invalid username or password."})
            return
        is_private = wanted.get("private") or wanted.get("visibility") == "private"
        self.hub.repositories[name] = Repository(is_private=is_private)
        self.hub.repositories[name].commits[0] = {".gitattributes": b"*.parquet filter=lfs\n"}
        self.say(200, {"url": f"{self.hub.url}/datasets/{name}", "id": "1", "name": name})

    def validate(self):
        try:
            yaml.safe_load(json.loads(self.body)["content"].split("---")[1])
            self.say(200, {"errors": [], "warnings": []})
        except yaml.YAMLError as error:
            self.say(400, {"errors": [{"message": str(error)}], "warnings": []})

    def preupload(self, name, _revision):
        if self.found(name):
            paths = [one["path"] for one in json.loads(self.body)["files"]]
            modes = {path: "lfs" if path.endswith(".parquet") else "regular" for path in paths}
            self.say(
                200, {"files": [{"path": p, "uploadMode": mode, "shouldIgnore": False} for p, mode in modes.items()]}
            )

    def batch(self, name):
        if self.found(name):
            objects = json.loads(self.body)["objects"]
            for one in objects:
                if one["oid"] not in self.hub.storage:
                    one["actions"] = {
                        "upload": {"href": f"{self.hub.url}/storage/{one['oid']}"},
                        "verify": {"href": f"{self.hub.url}/verify"},
                    }
            self.say(200, {"transfer": "basic", "objects": objects})

    def store(self, oid):
        if hashlib.sha256(self.body).hexdigest() == oid:
            self.hub.storage[oid] = self.body
            self.say(200, {})
        else:
            self.say(400, {"error": "not that content"})

    def verify(self):
        wanted = json.loads(self.body)
        is_whole = len(self.hub.storage.get(wanted["oid"], b"")) == wanted["size"]
        self.say(200 if is_whole else 404, {})

    def commit(self, name, _revision):
        self.hub.changed_meanwhile()
        if not (repository := self.found(name)):
            return
        header, *operations = map(json.loads, self.body.splitlines())
        if header["value"].get("parentCommit", repository.sha) != repository.sha:
            self.say(412, {"error": "A commit has happened since."})
            return
        files = dict(repository.files)
        for operation in operations:
            value = operation["value"]
            if operation["key"] == "deletedFile":
                del files[value["path"]]
            elif operation["key"] == "lfsFile":
                files[value["path"]] = self.hub.storage[value["oid"]]
            else:
                files[value["path"]] = base64.b64decode(value["content"])
        repository.commits.append(files)
        url = f"{self.hub.url}/datasets/{name}/commit/{repository.sha}"
        self.say(200, {"success": True, "commitOid": repository.sha, "commitUrl": url})

    def resolve(self, name, _revision, path):
        if not (repository := self.found(name)):
            return
        content = repository.files.get(path)
        if content is None:
            self.say(404, {"error": "no such entry"}, X_Error_Code="EntryNotFound")
            return
        etag = entry((path, content)).get("lfs", {}).get("oid") or entry((path, content))["oid"]
        self.say(200, content, ETag=f'"{etag}"', X_Repo_Commit=repository.sha)


def entry(file):
    """A file as the hub lists it."""
    path, content = file
    oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    listed = {"type": "file", "path": path, "size": len(content), "oid": oid}
    if path.endswith(".parquet"):
        listed["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return listed


NAME = r"([\w.-]+/[\w.-]+)"
ROUTES = (
    (rf"GET /api/datasets/{NAME}", Handler.info),
    (rf"GET /api/datasets/{NAME}/revision/(.+)", Handler.info),
    (rf"GET /api/datasets/{NAME}/tree/([^/]+)", Handler.tree),
    (rf"GET /api/models/{NAME}", Handler.model),
    (r"POST /api/repos/create", Handler.create),
    (r"POST /api/validate-yaml", Handler.validate),
    (rf"POST /api/datasets/{NAME}/preupload/([^/]+)", Handler.preupload),
    (rf"POST /datasets/{NAME}\.git/info/lfs/objects/batch", Handler.batch),
    (r"PUT /storage/(\w+)", Handler.store),
    (r"POST /verify", Handler.verify),
    (rf"POST /api/datasets/{NAME}/commit/([^/]+)", Handler.commit),
    (rf"(?:GET|HEAD) /datasets/{NAME}/resolve/([^/]+)/(.+)", Handler.resolve),
)
