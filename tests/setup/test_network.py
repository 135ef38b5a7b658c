import hashlib
import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from backdrop.setup import SetupError
from backdrop.setup.console import Console
from backdrop.setup.network import child_env, download, pip_settings, sha256_of, uv_env

BODY = b"weights" * 100_000


class Files(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY[: len(BODY) // 2] if self.path == "/cut" else BODY)

    def log_message(self, format: str, *args: object) -> None:
        del format, args


@pytest.fixture
def server() -> Iterator[str]:
    http = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    thread.join()
    http.server_close()


def fetch(url: str, target: Path) -> None:
    download(url, target, label="file", console=Console(io.StringIO(), is_terminal=False), timeout_s=5)


def test_a_download_arrives_whole(server: str, tmp_path: Path) -> None:
    fetch(f"{server}/whole", tmp_path / "file")
    assert sha256_of(tmp_path / "file") == hashlib.sha256(BODY).hexdigest()


@pytest.mark.parametrize("path", ["cut", "missing"])
def test_a_failed_download_leaves_nothing(server: str, tmp_path: Path, path: str) -> None:
    with pytest.raises(SetupError, match="run the same command again"):
        fetch(f"{server}/{path}", tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_pips_variables_win_over_its_files() -> None:
    listing = "global.index-url='https://file.example/simple'\n:env:.index-url='https://env.example/simple'\nnonsense\n"
    assert pip_settings(listing) == {"index-url": "https://env.example/simple"}


def test_uv_gets_what_pip_is_set_up_with(tmp_path: Path) -> None:
    settings = {
        "index-url": "https://a.example/simple",
        "extra-index-url": "https://b.example/simple\nhttps://c.example/simple",
        "cert": "/etc/ca.pem",
        "find-links": str(tmp_path / "absent"),
    }
    assert uv_env(settings, {}) == {
        "UV_DEFAULT_INDEX": "https://a.example/simple",
        "UV_INDEX": "https://b.example/simple https://c.example/simple",
        "SSL_CERT_FILE": "/etc/ca.pem",
    }


def test_what_uv_is_told_already_stays() -> None:
    assert uv_env({"index-url": "https://a.example"}, {"UV_DEFAULT_INDEX": "https://mine.example"}) == {}


def test_programs_of_the_setup_are_not_redirected_by_another_environment() -> None:
    env = child_env({"PATH": "/bin", "VIRTUAL_ENV": "/other", "PYTHONPATH": "/other", "GOPROXY": "off"})
    assert env["PATH"] == "/bin"
    assert env["GOPROXY"] == "off"
    assert not {"VIRTUAL_ENV", "PYTHONPATH"} & set(env)
