"""Downloads, and pip's settings handed on to uv, which does not read them itself."""

import ast
import hashlib
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from backdrop.setup.console import Console
from backdrop.setup.errors import SetupError

_CHUNK = 1 << 18

# pip's name of a setting -> uv's variable with the same meaning.
_UV_NAMES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "timeout": "UV_HTTP_TIMEOUT",
    "proxy": "HTTPS_PROXY",
    "find-links": "UV_FIND_LINKS",
}


def child_env(env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for programs of the set-up: what would redirect Python is left out."""
    dropped = {"VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONWARNINGS"}
    return {name: value for name, value in env.items() if name not in dropped} | {
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_PROGRESS": "1",
        # onnxruntime reports its use to its maker from the first import on, unless told otherwise.
        "ORT_DISABLE_TELEMETRY": "1",
    }


def pip_settings(listing: str) -> dict[str, str]:
    """Parse what `pip config list` prints; variables (`:env:`) win over files as they do in pip."""
    found: dict[str, str] = {}
    lines = sorted(listing.splitlines(), key=lambda line: line.startswith(":env:"))
    for line in lines:
        name, separator, value = line.partition("=")
        if separator and "." in name:
            try:
                found[name.rpartition(".")[2]] = str(ast.literal_eval(value))
            except (SyntaxError, ValueError):
                continue
    return found


def uv_env(settings: Mapping[str, str], env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that make uv use the index, certificates and proxy that pip is set up with.

    A variable that is set already is left alone, as is a local links folder that does not exist (uv refuses it).
    """
    found: dict[str, str] = {}
    for name, variable in _UV_NAMES.items():
        value = " ".join(settings.get(name, "").split())
        if not value or variable in env or variable in found:
            continue
        if name == "find-links" and "://" not in value and not Path(value).is_dir():
            continue
        found[variable] = value
    return found


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def download(url: str, target: Path, *, label: str, console: Console, timeout_s: float = 10.0) -> None:
    """Fetch a URL into a file, which appears only when it is whole.

    Raises:
        SetupError: the host does not answer, refuses, or stops in the middle.
    """
    progress = console.begin(label)
    beside = target.with_name(f"{target.name}.part")
    context = ssl.create_default_context(cafile=os.environ.get("PIP_CERT") or None)
    try:
        with urllib.request.urlopen(url, timeout=timeout_s, context=context) as answer, beside.open("wb") as file:
            total = int(answer.headers.get("Content-Length") or 0)
            done = 0
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                done += len(chunk)
                progress.tick(done, total)
        if total and done != total:
            message = f"{url} ended after {done} of {total} bytes: run the same command again"
            raise SetupError(message)
        os.replace(beside, target)
    except OSError as error:
        progress.close("failed")
        reason = getattr(error, "reason", None) or error
        message = f"cannot fetch {url} ({reason}): check the network and run the same command again"
        raise SetupError(message) from error
    finally:
        beside.unlink(missing_ok=True)
    progress.close("done")
