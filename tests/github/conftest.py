"""A workflow's surroundings without GitHub: its variables, its files, and its API on loopback."""

from __future__ import annotations

import io
import json
import subprocess
import threading
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

HEAD, BASE = "a" * 40, "b" * 40
REPOSITORY = "owner/project"


def zipped(**files: bytes | str) -> bytes:
    """A zip with *files*, in whose names "__" stands for a slash."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@dataclass
class GitHub:
    """What the fake API knows, and what it was asked."""

    url: str = ""
    storage_url: str = ""
    pulls: list[dict] = field(default_factory=list)
    comments: list[dict] = field(default_factory=list)
    artifacts: list[dict] = field(default_factory=list)
    content: dict[int, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    tokens_at_storage: list[str | None] = field(default_factory=list)
    bodies: list[dict] = field(default_factory=list)
    refuses: dict[str, tuple[int, str]] = field(default_factory=dict)  #: by method

    def pull(
        self, number: int = 7, *, head: str = HEAD, head_repository: int = 2, repo: object = ...
    ) -> None:
        self.pulls.append(
            {
                "number": number,
                "head": {"sha": head, "repo": {"id": head_repository} if repo is ... else repo},
                "base": {"repo": {"full_name": REPOSITORY}, "ref": "main"},
            }
        )

    def comment(self, body: str, *, login: str = "github-actions[bot]") -> int:
        number = 100 + len(self.comments)
        self.comments.append({"id": number, "body": body, "user": {"login": login}})
        return number

    def artifact(self, content: bytes, *, name: str = "llm-gate", **more: object) -> int:
        number = 900 + len(self.artifacts)
        self.content[number] = content
        known = {"id": number, "name": name, "size_in_bytes": len(content), "expired": False}
        self.artifacts.append({**known, **more})
        return number

    def sent(self, method: str) -> list[str]:
        return [path for sent, path in self.requests if sent == method]


class _Handler(BaseHTTPRequestHandler):
    github: GitHub

    def log_message(self, *_arguments):
        pass

    def do_GET(self):
        self._handle()

    def do_POST(self):
        self._handle()

    def do_PATCH(self):
        self._handle()

    def _handle(self):
        url, known = urlsplit(self.path), self.github
        known.requests.append((self.command, url.path))
        length = int(self.headers.get("content-length", 0))
        if length:
            known.bodies.append(json.loads(self.rfile.read(length)))
        if self.command in known.refuses:
            status, message = known.refuses[self.command]
            self._json({"message": message}, status)
        elif self.headers.get("authorization") != "Bearer t0ken-of-the-job":
            self._json({"message": "Bad credentials"}, 401)
        elif self.command != "GET":
            self._json({"id": 1, "number": 8}, 201)
        else:
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            self._get(url.path.removeprefix(f"/repos/{REPOSITORY}"), query)

    def _get(self, path, query):
        known = self.github
        if path.endswith("/zip"):
            self._json({}, 302, location=f"{known.storage_url}/{path.split('/')[-2]}")
        elif path == "/pulls":
            self._page(known.pulls, query)
        elif path.endswith("/comments"):
            self._page(known.comments, query)
        elif path.endswith("/artifacts"):
            found = [one for one in known.artifacts if one["name"] == query.get("name")]
            self._page(found, query, key="artifacts")
        else:
            self._json({"message": "Not Found"}, 404)

    def _page(self, items, query, *, key=None, size=2):
        page = int(query.get("page", 1))
        shown = items[(page - 1) * size : page * size]
        more = {}
        if page * size < len(items):
            rest = "&".join(f"{name}={value}" for name, value in {**query, "page": str(page + 1)}.items())
            more["link"] = f'<{self.github.url}{urlsplit(self.path).path}?{rest}>; rel="next"'
        self._json({key: shown} if key else shown, **more)

    def _json(self, content, status=200, **headers):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class _Storage(_Handler):
    """The other host that artifacts are downloaded from."""

    def _handle(self):
        self.github.tokens_at_storage.append(self.headers.get("authorization"))
        body = self.github.content[int(self.path.rpartition("/")[2])]
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self._handle()


@pytest.fixture
def github():
    known = GitHub()
    servers = []
    for base in (_Handler, _Storage):
        handler = type("Handler", (base,), {"github": known})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        servers.append(server)
    known.url, known.storage_url = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    yield known
    for server in servers:
        server.shutdown()
        server.server_close()


@dataclass
class Step:
    """The files of one step."""

    folder: Path

    @property
    def outputs(self) -> dict[str, str]:
        lines = (self.folder / "output").read_text("utf-8").splitlines()
        return dict(line.split("=", 1) for line in lines)

    @property
    def summary(self) -> str:
        return (self.folder / "summary").read_text("utf-8")

    def event(self, content: object) -> None:
        (self.folder / "event.json").write_text(json.dumps(content), "utf-8")


@pytest.fixture
def step(tmp_path, monkeypatch, github):
    """A step of a workflow, in an empty directory."""
    files, project = tmp_path / "runner", tmp_path / "project"
    files.mkdir()
    project.mkdir()
    made = Step(folder=files)
    made.event({})
    for name in ("output", "summary"):
        (files / name).touch()
    variables = {
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_SERVER_URL": "https://github.example",
        "GITHUB_API_URL": github.url,
        "GITHUB_RUN_ID": "55",
        "GITHUB_REF_NAME": "main",
        "GITHUB_TOKEN": "t0ken-of-the-job",
        "GITHUB_WORKSPACE": str(project),
        "GITHUB_EVENT_PATH": str(files / "event.json"),
        "GITHUB_OUTPUT": str(files / "output"),
        "GITHUB_STEP_SUMMARY": str(files / "summary"),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "NO_PROXY": "127.0.0.1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(project)
    return made


def git(directory: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=directory, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def in_git():
    """Runs git in a directory."""
    return git


@pytest.fixture
def finished():
    """The event of a finished run of llm-gate, for a fork's pull request."""

    def event(**changed: object) -> dict:
        run = {
            "id": 55,
            "event": "pull_request",
            "head_sha": HEAD,
            "head_branch": "faster",
            "head_repository": {"id": 2, "owner": {"login": "stranger"}},
            **changed,
        }
        return {"workflow_run": run}

    return event


@pytest.fixture
def archive():
    """Makes a zip: archive({"run.json": text})."""
    return lambda files: zipped(**files)
