"""Object stores: named bytes that are written once, on files or in a bucket."""

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, unquote, urlsplit

from contracts import InvalidInputError, MissingObjectError, UnavailableError

MAX_OBJECT_BYTES = 256 * 1024 * 1024
MAX_PATH_CHARS = 512
BINARY = "application/octet-stream"

# Unfinished files live here: no valid object path can name it.
_PARTIAL = ".partial"
_SEGMENT = re.compile(r"[\w~@+=-][\w.~@+=-]*", re.ASCII)


class ObjectStore(Protocol):
    """Bytes by path; a reader sees a whole object or none. Every call may raise ``UnavailableError``."""

    def put_if_absent(self, path: str, data: bytes, content_type: str = BINARY) -> bool:
        """Write an object unless there is one; tells whether this call wrote it."""
        ...

    def put(self, path: str, data: bytes, content_type: str = BINARY) -> None:
        """Write an object, in place of what was there."""
        ...

    def get(self, path: str) -> bytes:
        """Read an object; raises ``MissingObjectError`` if there is none."""
        ...

    def exists(self, path: str) -> bool:
        """Tell whether there is such an object."""
        ...

    def remove(self, path: str) -> None:
        """Remove an object; if there is none, nothing happens."""
        ...

    def list(self, prefix: str = "") -> Iterator[str]:
        """Paths that begin with ``prefix``, ascending by character."""
        ...

    def url(self, path: str) -> str:
        """Where a browser finds the object."""
        ...


def check_path(path: str) -> str:
    """Return ``path`` if it may name an object.

    Allowed: up to ``MAX_PATH_CHARS`` characters, segments divided by ``/``, of letters a-z, digits and
    ``_ . ~ @ + = -``, none empty or beginning with a dot.

    Raises:
        InvalidInputError: naming the path and the rule.
    """
    if len(path) > MAX_PATH_CHARS or any(_SEGMENT.fullmatch(segment) is None for segment in path.split("/")):
        message = (
            f"object path {path[:120]!r} is not valid: use up to {MAX_PATH_CHARS} characters, segments of letters, "
            "digits or _ . ~ @ + = - divided by '/', none beginning with a dot"
        )
        raise InvalidInputError(message)
    return path


def check_object(path: str, data: bytes) -> str:
    """Return ``path`` if ``data`` may be stored under it.

    Raises:
        InvalidInputError: if the path is not valid or the data longer than ``MAX_OBJECT_BYTES``.
    """
    if len(data) > MAX_OBJECT_BYTES:
        message = f"object {path[:120]!r} has {len(data)} bytes, the limit is {MAX_OBJECT_BYTES}: split it"
        raise InvalidInputError(message)
    return check_path(path)


class FileObjectStore:
    """``ObjectStore`` on a folder; objects are synced to the disk before they appear."""

    def __init__(self, root: Path, base_url: str = "") -> None:
        """Keep objects below ``root``; ``base_url`` is where a web server offers that folder ("": file URLs)."""
        self._root = root
        self._base_url = base_url.rstrip("/")

    @property
    def root(self) -> Path:
        """The folder that holds the objects."""
        return self._root

    def put_if_absent(self, path: str, data: bytes, content_type: str = BINARY) -> bool:
        """Write an object unless there is one; tells whether this call wrote it.

        ``content_type`` is not kept: file servers go by the suffix.

        Raises:
            InvalidInputError: if the path or the length is not allowed.
            UnavailableError: if the folder cannot be written.
        """
        target = self._locate(check_object(path, data))
        with _file_errors("write", path):
            if target.exists():
                return False
            with self._finished(target, data) as partial:
                try:
                    os.link(partial, target)
                except FileExistsError:
                    return False
            _sync_folder(target.parent)
        return True

    def put(self, path: str, data: bytes, content_type: str = BINARY) -> None:
        """Write an object, in place of what was there.

        Raises:
            InvalidInputError: if the path or the length is not allowed.
            UnavailableError: if the folder cannot be written.
        """
        target = self._locate(check_object(path, data))
        with _file_errors("write", path):
            with self._finished(target, data) as partial:
                partial.replace(target)
            _sync_folder(target.parent)

    def get(self, path: str) -> bytes:
        """Read an object.

        Raises:
            InvalidInputError: if the path is not allowed.
            MissingObjectError: if there is no such object.
            UnavailableError: if it cannot be read.
        """
        target = self._locate(check_path(path))
        with _file_errors("read", path):
            return target.read_bytes()

    def exists(self, path: str) -> bool:
        """Tell whether there is such an object.

        Raises:
            InvalidInputError: if the path is not allowed.
        """
        return self._locate(check_path(path)).is_file()

    def remove(self, path: str) -> None:
        """Remove an object; if there is none, nothing happens.

        Raises:
            InvalidInputError: if the path is not allowed.
            UnavailableError: if it cannot be removed.
        """
        target = self._locate(check_path(path))
        with _file_errors("remove", path), suppress(FileNotFoundError):
            target.unlink()

    def list(self, prefix: str = "") -> Iterator[str]:
        """Paths that begin with ``prefix``, ascending by character.

        Raises:
            InvalidInputError: if the prefix is not the beginning of an allowed path.
        """
        folder = prefix.rpartition("/")[0]
        top = self._locate(check_path(folder)) if folder else self._root
        found = []
        for here, folders, files in os.walk(top):
            folders[:] = [name for name in folders if not name.startswith(".")]
            base = Path(here).relative_to(self._root)
            found += [(base / name).as_posix() for name in files if not name.startswith(".")]
        return iter(sorted(path for path in found if path.startswith(prefix)))

    def url(self, path: str) -> str:
        """Where a browser finds the object: below the base URL, or a file URL."""
        target = self._locate(check_path(path))
        return f"{self._base_url}/{quote(path)}" if self._base_url else target.resolve().as_uri()

    def _locate(self, path: str) -> Path:
        root = self._root.resolve()
        target = (root / path).resolve()
        if not target.is_relative_to(root):
            message = f"object path {path!r} leads out of {root} over a link: remove the link"
            raise InvalidInputError(message)
        return target

    @contextmanager
    def _finished(self, target: Path, data: bytes) -> Iterator[Path]:
        folder = self._root.resolve() / _PARTIAL
        folder.mkdir(parents=True, exist_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        # The process group in the name lets whoever killed that group clear up after it.
        partial = folder / f"{os.getpgrp()}-{secrets.token_hex(16)}"
        try:
            with partial.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            yield partial
        finally:
            with suppress(FileNotFoundError):
                partial.unlink()


def open_objects(uri: str, base_url: str = "") -> ObjectStore:
    """Open the object store at ``uri``: a folder path, ``file:///folder`` or ``gs://bucket/prefix``.

    ``base_url`` is where browsers find it ("": file URLs, or Google's public address).

    Raises:
        InvalidInputError: if the URI is of another kind.
        SetupError: if a bucket's client library or credentials are missing.
    """
    parts = urlsplit(uri)
    if parts.scheme == "gs" and parts.netloc:
        from stores.objects_gcs import open_bucket

        return open_bucket(parts.netloc, parts.path.strip("/"), base_url)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path:
        return FileObjectStore(Path(unquote(parts.path)), base_url)
    if uri and "://" not in uri:
        return FileObjectStore(Path(uri), base_url)
    message = f"object store {uri!r} is not known: use a folder, file:///folder or gs://bucket/prefix"
    raise InvalidInputError(message)


def discard_unfinished(uri: str, group: int) -> None:
    """Remove what processes of a group of this machine left half-written in the store at ``uri`` when killed.

    Buckets hold nothing unfinished.
    """
    parts = urlsplit(uri)
    if parts.scheme in {"", "file"}:
        folder = Path(unquote(parts.path) if parts.scheme else uri) / _PARTIAL
        for partial in folder.glob(f"{group}-*"):
            partial.unlink(missing_ok=True)


@contextmanager
def _file_errors(doing: str, path: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        message = f"could not {doing} object {path!r}: there is no such object ({error.strerror})"
        raise MissingObjectError(message) from error
    except OSError as error:
        message = f"could not {doing} object {path!r}: {error}"
        raise UnavailableError(message) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
