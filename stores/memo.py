"""What bytes decode to, remembered by the bytes themselves: it can serve nothing old, and popular rows decode once."""

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

Fields = tuple[bytes | None, ...]

_T = TypeVar("_T")


class Memo(Generic[_T]):
    """A pure function of a reply's fields (its results are true as conditions), with its last results in memory.

    At most ``entries`` results of replies of at most ``reply_bytes`` are kept; when it is full it begins anew.
    """

    def __init__(self, decode: Callable[[Fields], _T], *, entries: int = 8_192, reply_bytes: int = 4_096) -> None:
        """Nothing is remembered yet."""
        self._decode = decode
        self._entries = entries
        self._reply_bytes = reply_bytes
        self._kept: dict[Fields, _T] = {}

    def __call__(self, replies: Iterable[Iterable[bytes | None]]) -> list[_T]:
        """What each reply decodes to; never to be changed by the caller."""
        kept = self._kept.get
        return [kept(fields) or self._learn(fields) for fields in map(tuple, replies)]

    def one(self, reply: Iterable[bytes | None]) -> _T:
        """What one reply decodes to."""
        fields = tuple(reply)
        return self._kept.get(fields) or self._learn(fields)

    def _learn(self, fields: Fields) -> _T:
        found = self._decode(fields)
        if sum(len(field) for field in fields if field is not None) <= self._reply_bytes:
            if len(self._kept) >= self._entries:
                self._kept.clear()
            self._kept[fields] = found
        return found

    def __len__(self) -> int:
        """How many results are kept."""
        return len(self._kept)

    def forget(self) -> None:
        """Begin anew."""
        self._kept.clear()
