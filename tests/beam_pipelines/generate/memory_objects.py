"""An object store in memory whose every step a test sees; lists are read name by name, as a bucket's pages are."""

import threading
from collections.abc import Callable, Iterator

from contracts import MissingObjectError, StoreError
from stores.objects import BINARY

Step = Callable[[str, str], None]


class MemoryObjects:
    """``ObjectStore`` in memory; ``before`` and ``after`` are called round each step with its kind and path."""

    def __init__(self, before: Step | None = None, after: Step | None = None) -> None:
        self.held: dict[str, bytes] = {}
        self.before, self.after = before, after
        self._lock = threading.Lock()

    def beside(self, before: Step | None = None, after: Step | None = None) -> "MemoryObjects":
        """The same objects, with other steps."""
        other = MemoryObjects(before, after)
        other.held, other._lock = self.held, self._lock
        return other

    def put_if_absent(self, path: str, data: bytes, content_type: str = BINARY) -> bool:
        self._told(self.before, "put", path)
        with self._lock:
            fresh = path not in self.held
            self.held.setdefault(path, data)
        self._told(self.after, "put", path)
        return fresh

    def put(self, path: str, data: bytes, content_type: str = BINARY) -> None:
        self._told(self.before, "put", path)
        with self._lock:
            self.held[path] = data
        self._told(self.after, "put", path)

    def get(self, path: str) -> bytes:
        self._told(self.before, "get", path)
        with self._lock:
            if path not in self.held:
                message = f"could not read object {path!r}: there is no such object"
                raise MissingObjectError(message)
            return self.held[path]

    def exists(self, path: str) -> bool:
        return path in self.held

    def remove(self, path: str) -> None:
        self._told(self.before, "remove", path)
        with self._lock:
            self.held.pop(path, None)
        self._told(self.after, "remove", path)

    def list(self, prefix: str = "") -> Iterator[str]:
        last = ""
        while True:
            self._told(self.before, "list", last or prefix)
            with self._lock:
                later = [path for path in self.held if path.startswith(prefix) and path > last]
            if not later:
                return
            last = min(later)
            yield last

    def url(self, path: str) -> str:
        return f"memory:{path}"

    @staticmethod
    def _told(step: Step | None, kind: str, path: str) -> None:
        if step is not None:
            step(kind, path)


class EndsAt:
    """A step that ends whatever takes it, at the n-th of its ``kinds`` and ever after."""

    def __init__(self, number: int, kinds: tuple[str, ...] = ("put", "get", "remove", "list")) -> None:
        self.left, self.kinds, self.happened = number, kinds, False
        self._lock = threading.Lock()

    def __call__(self, kind: str, path: str) -> None:
        with self._lock:
            self.left -= kind in self.kinds
            self.happened |= self.left < 0
        if self.left < 0:
            message = "ended"
            raise StoreError(message)
