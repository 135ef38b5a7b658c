"""A model hub on loopback: the few answers of a real one that fetching a model takes."""

import hashlib
import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import unquote, urlsplit


class HubServer:
    """Serves ``repos`` (by id and commit, files by name) and their ``branches``.

    ``asked`` counts files downloaded; files in ``cut`` end half way.
    """

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, dict[str, bytes]]] = {}
        self.branches: dict[tuple[str, str], str] = {}
        self.cut: set[str] = set()
        self.asked: Counter[str] = Counter()
        self.requests = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def push(self, repo: str, files: dict[str, bytes], branch: str = "main") -> str:
        """Put ``files`` on a branch: the commit."""
        content = json.dumps({name: hashlib.sha1(data).hexdigest() for name, data in sorted(files.items())})
        commit = hashlib.sha1(content.encode()).hexdigest()
        self.repos.setdefault(repo, {})[commit] = files
        self.branches[repo, branch] = commit
        return commit

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        self.hub.requests += 1
        words = unquote(urlsplit(self.path).path).strip("/").split("/")
        api = words[:2] == ["api", "models"]
        owner, name, action, revision, *rest = (words[2:] if api else words) + ["", ""]
        repo = f"{owner}/{name}"
        if repo not in self.hub.repos:
            self._send(404, b"{}", body, {"X-Error-Code": "RepoNotFound"})
            return
        commit = self.hub.branches.get((repo, revision), revision)
        if commit not in self.hub.repos[repo]:
            self._send(404, b"{}", body, {"X-Error-Code": "RevisionNotFound"})
            return
        files = self.hub.repos[repo][commit]
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
            self.hub.asked[path] += body
            tag = hashlib.sha1(files[path]).hexdigest()
            self._send(200, files[path], body, {"ETag": f'"{tag}"', "X-Repo-Commit": commit}, cut=path in self.hub.cut)
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
