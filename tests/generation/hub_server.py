"""A model hub on loopback: the few answers of a real one that fetching a model takes."""

import hashlib
import json
from collections import Counter
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote, urlsplit

from tests.loopback import LoopbackServer, Quiet


class HubServer(LoopbackServer):
    """Serves ``repos`` (by id and commit, files by name) and their ``branches``.

    ``asked`` counts files downloaded; files in ``cut`` end half way.
    """

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.repos: dict[str, dict[str, dict[str, bytes]]] = {}
        self.branches: dict[tuple[str, str], str] = {}
        self.cut: set[str] = set()
        self.asked: Counter[str] = Counter()
        self.requests = 0

    def push(self, repo: str, files: dict[str, bytes], branch: str = "main") -> str:
        """Put ``files`` on a branch: the commit."""
        content = json.dumps({name: hashlib.sha1(data).hexdigest() for name, data in sorted(files.items())})
        commit = hashlib.sha1(content.encode()).hexdigest()
        self.repos.setdefault(repo, {})[commit] = files
        self.branches[repo, branch] = commit
        return commit


class _Handler(Quiet, BaseHTTPRequestHandler):
    state: HubServer

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        self.state.requests += 1
        words = unquote(urlsplit(self.path).path).strip("/").split("/")
        api = words[:2] == ["api", "models"]
        owner, name, action, revision, *rest = (words[2:] if api else words) + ["", ""]
        repo = f"{owner}/{name}"
        if repo not in self.state.repos:
            self._send(404, b"{}", body, {"X-Error-Code": "RepoNotFound"})
            return
        commit = self.state.branches.get((repo, revision), revision)
        if commit not in self.state.repos[repo]:
            self._send(404, b"{}", body, {"X-Error-Code": "RevisionNotFound"})
            return
        files = self.state.repos[repo][commit]
        path = "/".join(word for word in rest if word)
        if api and action == "revision":
            found = {"id": repo, "sha": commit, "siblings": [{"rfilename": each} for each in files]}
            self._send(200, json.dumps(found).encode(), body)
        elif api and action == "tree":
            listed = [
                {"type": "file", "path": each, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                for each, data in files.items()
            ]
            self._send(200, json.dumps(listed).encode(), body)
        elif path in files:
            self.state.asked[path] += body
            tag = hashlib.sha1(files[path]).hexdigest()
            self._send(
                200, files[path], body, {"ETag": f'"{tag}"', "X-Repo-Commit": commit}, cut=path in self.state.cut
            )
        else:
            self._send(404, b"{}", body, {"X-Error-Code": "EntryNotFound"})

    def _send(
        self, status: int, data: bytes, body: bool, headers: dict[str, str] | None = None, *, cut: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data[: len(data) // 2] if cut else data)
        self.close_connection = self.close_connection or cut
