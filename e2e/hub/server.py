"""The HTTP side of the small Hub: what ``huggingface_hub`` asks for, and nothing more.

Model information, file tree, and files with ETag, commit and ranges; 401, 404 and 5xx as the
real Hub says them. ``PUT`` and ``DELETE /-/faults/ORG/NAME`` switch faults while it runs. A
test tool: it has no TLS and serves whoever reaches it.
"""

import hmac
import json
import re
import threading
from collections import deque
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from e2e.hub.repositories import Commit, HubFile, Repositories, Repository, read_fault

CHUNK_BYTES = 1 << 16
CONNECTION_LIMIT = 64
CONTROL_BODY_BYTES = 1024
KEPT_REQUESTS = 1000
SOCKET_TIMEOUT_SECONDS = 30

_MODEL = re.compile(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?")
_FILE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
_FAULTS = re.compile(r"/-/faults/([^/]+/[^/]+)")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """One request as a test may look at it afterwards."""

    method: str
    path: str
    range_header: str | None
    status: int


@dataclass(frozen=True, slots=True)
class Refusal(Exception):
    """An error answer; ``code`` is the Hub's ``X-Error-Code``, by which clients tell 404s apart."""

    status: int
    code: str
    message: str


class HubServer(ThreadingHTTPServer):
    """Serves until ``shutdown``; ``seen`` keeps the last requests."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], repositories: Repositories) -> None:
        super().__init__(address, _Handler)
        self.repositories = repositories
        self.seen: deque[SeenRequest] = deque(maxlen=KEPT_REQUESTS)
        self.connections = threading.BoundedSemaphore(CONNECTION_LIMIT)

    @property
    def url(self) -> str:
        """What ``HF_ENDPOINT`` has to be."""
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"
    timeout = SOCKET_TIMEOUT_SECONDS

    def handle(self) -> None:
        with self.server.connections:
            super().handle()

    def do_GET(self) -> None:
        self._answer(self._read)

    def do_HEAD(self) -> None:
        self._answer(self._read)

    def do_PUT(self) -> None:
        self._answer(self._switch)

    def do_DELETE(self) -> None:
        self._answer(self._switch)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Requests are kept in ``seen``; stderr stays quiet."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:  # noqa: ARG002
        seen = SeenRequest(self.command, self.path, self.headers.get("Range"), int(code))
        self.server.seen.append(seen)

    def _answer(self, handler: Any) -> None:
        try:
            handler(unquote(urlsplit(self.path).path))
        except Refusal as refusal:
            body = json.dumps({"error": refusal.message}).encode()
            headers = {"X-Error-Code": refusal.code, "X-Error-Message": refusal.message}
            self._send(refusal.status, {k: v for k, v in headers.items() if v}, body)

    def _read(self, path: str) -> None:
        if path == "/-/health":
            self._send(200, {}, b"ok")
        elif match := _MODEL.fullmatch(urlsplit(self.path).path):
            name, form, revision = (unquote(part or "") for part in match.groups())
            _, commit = self._commit(name, revision or "main")
            body = _tree(commit) if form == "tree" else _info(name, commit)
            self._send(200, {"Content-Type": "application/json"}, json.dumps(body).encode())
        elif match := _FILE.fullmatch(urlsplit(self.path).path):
            name, revision, file_name = (unquote(part) for part in match.groups())
            self._file(name, revision, file_name)
        else:
            raise Refusal(404, "", f"nothing is at {path}")

    def _switch(self, path: str) -> None:
        match = _FAULTS.fullmatch(path)
        if match is None or self.server.repositories.get(match[1]) is None:
            raise Refusal(404, "RepoNotFound", f"no repository is at {path}")
        length = min(int(self.headers.get("Content-Length") or 0), CONTROL_BODY_BYTES)
        try:
            fault = read_fault(json.loads(self.rfile.read(length) or b"{}"))
        except ValueError as error:
            raise Refusal(400, "", str(error)) from error
        self.server.repositories.set_fault(match[1], fault)
        self._send(200, {}, b"")

    def _commit(self, name: str, revision: str) -> tuple[Repository, Commit]:
        repository = self.server.repositories.get(name)
        if repository is None:
            raise Refusal(404, "RepoNotFound", "Repository not found")
        if repository.fault and repository.fault.status:
            raise Refusal(repository.fault.status, "", "fault switched on")
        if repository.token and not self._has_token(repository.token):
            raise Refusal(401, "GatedRepo", f"Access to model {name} is restricted")
        commit = self.server.repositories.commit(repository, revision)
        if commit is None:
            raise Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return repository, commit

    def _has_token(self, token: str) -> bool:
        given = self.headers.get("Authorization", "")
        return hmac.compare_digest(given.encode(), f"Bearer {token}".encode())

    def _file(self, name: str, revision: str, file_name: str) -> None:
        repository, commit = self._commit(name, revision)
        file = commit.files.get(file_name)
        if file is None:
            raise Refusal(404, "EntryNotFound", f"{file_name} does not exist")
        first, last, status = _byte_range(self.headers.get("Range"), file.size_bytes)
        headers = {
            "ETag": f'"{file.digest}"',
            "X-Repo-Commit": commit.sha,
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
            "Content-Length": str(last - first + 1),
        }
        if status == 206:
            headers["Content-Range"] = f"bytes {first}-{last}/{file.size_bytes}"
        self._send(status, headers, None)
        if self.command == "GET":
            cut = self.server.repositories.take_cut(repository, last - first + 1)
            self._send_file(file, first, last, cut)

    def _send_file(self, file: HubFile, first: int, last: int, cut: int | None) -> None:
        left = last - first + 1 if cut is None else min(cut, last - first + 1)
        with file.path.open("rb") as content:
            content.seek(first)
            while left > 0 and (chunk := content.read(min(left, CHUNK_BYTES))):
                self.wfile.write(chunk)
                left -= len(chunk)
        if cut is not None:
            self.close_connection = True

    def _send(self, status: int, headers: dict[str, str], body: bytes | None) -> None:
        self.send_response(status)
        if body is not None:
            headers = {**headers, "Content-Length": str(len(body))}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if body and self.command != "HEAD":
            self.wfile.write(body)


def _byte_range(header: str | None, size: int) -> tuple[int, int, int]:
    """First and last byte to send, and the status."""
    match = _RANGE.fullmatch(header or "")
    if match is None:
        return 0, size - 1, 200
    first, last = int(match[1]), int(match[2]) if match[2] else size - 1
    if first >= size or first > last:
        raise Refusal(416, "", f"the file has {size} bytes")
    return first, min(last, size - 1), 206


def _info(name: str, commit: Commit) -> dict[str, object]:
    siblings = [
        {"rfilename": file.name, "size": file.size_bytes, "blobId": file.digest[:40]}
        for file in commit.files.values()
    ]
    return {"id": name, "modelId": name, "sha": commit.sha, "tags": [], "siblings": siblings}


def _tree(commit: Commit) -> list[dict[str, object]]:
    return [
        {"type": "file", "path": file.name, "size": file.size_bytes, "oid": file.digest[:40]}
        for file in commit.files.values()
    ]
