"""The creative index: which pictures exist for an item in a placement, by arm."""

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import chain
from types import MappingProxyType

import redis

from contracts import CreativeRef, FormatError, InvalidInputError, check_name, keys
from stores.connect import Command, command, pipeline, translated
from stores.memo import Fields
from stores.round_trip import Reply

MAX_URL_CHARS = 2048
MAX_SIDE_PX = 16_384
MAX_ID_CHARS = 256
_BATCH = 1000
_REQUESTS = 8_192


def encode_ref(ref: CreativeRef) -> bytes:
    """Write a reference as compact JSON: ``{"id":…,"url":…,"w":…,"h":…}``.

    Raises:
        InvalidInputError: if the id, the URL or a side is out of range.
    """
    if not 0 < len(ref.url) <= MAX_URL_CHARS:
        message = f"creative URL of {len(ref.url)} characters: use 1 to {MAX_URL_CHARS}"
        raise InvalidInputError(message)
    if len(ref.creative_id) > MAX_ID_CHARS:
        message = f"creative id of {len(ref.creative_id)} characters: use at most {MAX_ID_CHARS}"
        raise InvalidInputError(message)
    if not (0 < ref.width <= MAX_SIDE_PX and 0 < ref.height <= MAX_SIDE_PX):
        message = f"creative of {ref.width} × {ref.height} pixels: sides must be 1 to {MAX_SIDE_PX}"
        raise InvalidInputError(message)
    plain = {"id": ref.creative_id, "url": ref.url, "w": ref.width, "h": ref.height}
    return json.dumps(plain, separators=(",", ":")).encode()


def decode_ref(data: bytes) -> CreativeRef:
    """Read what ``encode_ref`` wrote.

    Raises:
        FormatError: if it is not such a document.
    """
    try:
        plain = json.loads(data)
        ref = CreativeRef(plain["id"], plain["url"], plain["w"], plain["h"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        message = f"creative reference {data[:120]!r} is damaged: {error!r}"
        raise FormatError(message) from error
    if not (isinstance(ref.creative_id, str) and isinstance(ref.url, str)):
        message = f"creative reference {data[:120]!r} has an id or URL that is no text"
        raise FormatError(message)
    # What an answer or a token cannot hold must not get that far; lone surrogates are such.
    if not (_is_text(ref.creative_id, MAX_ID_CHARS) and _is_text(ref.url, MAX_URL_CHARS) and ref.url):
        message = f"creative reference {data[:120]!r} has an id or URL that is too long, empty or no text"
        raise FormatError(message)
    if not all(type(side) is int and 0 < side <= MAX_SIDE_PX for side in (ref.width, ref.height)):
        message = f"creative reference {data[:120]!r} has a width or height that is not from 1 to {MAX_SIDE_PX}"
        raise FormatError(message)
    return ref


def _is_text(text: str, limit: int) -> bool:
    if len(text) > limit:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@lru_cache(maxsize=_REQUESTS)
def index_request(item: str, placement: str) -> bytes:
    """The packed HGETALL of an item's creatives in a placement; any text may be asked for."""
    key = keys.creatives(item, placement).encode(errors="surrogatepass")
    return b"*2\r\n$7\r\nHGETALL\r\n$%d\r\n%b\r\n" % (len(key), key)


def index_fields(reply: Reply) -> Iterable[bytes]:
    """Fields and values of an HGETALL, in turn: a flat list in RESP2, a mapping in RESP3."""
    return chain.from_iterable(reply.items()) if isinstance(reply, dict) else reply


def decode_index(fields: Fields) -> tuple[Mapping[str, CreativeRef], int]:
    """Creatives by arm, and how many were damaged and left out; arms and references alternate."""
    good: dict[str, CreativeRef] = {}
    damaged = 0
    for arm, data in zip(fields[::2], fields[1::2], strict=True):
        try:
            good[check_name("arm", (arm or b"").decode())] = decode_ref(data or b"")
        except (FormatError, InvalidInputError, UnicodeDecodeError):
            damaged += 1
    return MappingProxyType(good), damaged


class CreativeIndex:
    """Hash arm → creative for every (item, placement), in Redis."""

    def __init__(self, client: redis.Redis) -> None:
        """Use ``client`` (replies as bytes)."""
        self._client = client

    def publish(self, item: str, placement: str, refs: Mapping[str, CreativeRef]) -> None:
        """Add creatives, or put them in place of those of the same arms; other arms stay.

        Raises:
            InvalidInputError: if a name or reference is not valid.
            UnavailableError: if Redis did not answer.
        """
        self.publish_all({(item, placement): refs})

    def publish_all(self, refs: Mapping[tuple[str, str], Mapping[str, CreativeRef]]) -> None:
        """``publish`` for many (item, placement), in few round trips.

        Raises:
            InvalidInputError: if a name or reference is not valid; nothing is written then.
            UnavailableError: if Redis did not answer; publishing again is safe.
        """
        commands = [_hset(item, placement, arms) for (item, placement), arms in refs.items() if arms]
        with translated("publish creatives"):
            for start in range(0, len(commands), _BATCH):
                pipeline(self._client, commands[start : start + _BATCH])

    def replace_all(self, refs: Mapping[tuple[str, str], Mapping[str, CreativeRef]]) -> None:
        """``publish_all``; then arms that it did not name leave those (item, placement) of which it named any.

        Raises:
            InvalidInputError: if a name or reference is not valid; nothing is written then.
            UnavailableError: if Redis did not answer; doing it again is safe.
        """
        self.publish_all(refs)
        named = [(_key(item, placement), arms) for (item, placement), arms in refs.items() if arms]
        with translated("withdraw creatives"):
            for start in range(0, len(named), _BATCH):
                part = named[start : start + _BATCH]
                found = pipeline(self._client, [("HKEYS", key) for key, _ in part])
                gone = [
                    ("HDEL", key, *unnamed)
                    for (key, arms), fields in zip(part, found, strict=True)
                    if (unnamed := [arm for arm in fields if arm.decode(errors="replace") not in arms])
                ]
                if gone:
                    pipeline(self._client, gone)

    def withdraw(self, item: str, placement: str, arms: Iterable[str]) -> int:
        """Take creatives of some arms out; returns how many there were."""
        names = list(arms)
        if not names:
            return 0
        with translated("withdraw creatives"):
            return int(command(self._client, "HDEL", _key(item, placement), *names))

    def read(self, item: str, placement: str) -> dict[str, CreativeRef]:
        """Creatives of an item in a placement by arm, empty if there are none.

        Raises:
            FormatError: if a stored reference is damaged.
            UnavailableError: if Redis did not answer.
        """
        with translated("read creatives"):
            found: dict[bytes, bytes] = command(self._client, "HGETALL", _key(item, placement))
        return {arm.decode(): decode_ref(data) for arm, data in found.items()}


def _key(item: str, placement: str) -> str:
    return keys.creatives(check_name("item", item), check_name("placement", placement))


def _hset(item: str, placement: str, arms: Mapping[str, CreativeRef]) -> Command:
    fields = [word for arm, ref in arms.items() for word in (check_name("arm", arm), encode_ref(ref))]
    return ("HSET", _key(item, placement), *fields)
