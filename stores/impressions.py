"""What each user was shown lately, for frequency capping: a short-lived sorted set a user."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import redis.asyncio

from contracts import keys
from contracts.ids import DECISION_ID_BYTES
from stores.round_trip import Reply, Wire, pack_command

# What a user sees beyond this many within the window pushes the oldest out: the cap is lenient then, never strict.
MAX_KEPT = 256


@dataclass(frozen=True, slots=True)
class Shown:
    """A creative that a user was shown by a decision."""

    user: str
    creative: str
    decision_id: bytes
    shown_ms: int


def shown_request(user: str, since_ms: int) -> bytes:
    """The packed read command that asks what ``user`` was shown after ``since_ms``."""
    return pack_command(b"ZRANGEBYSCORE", keys.shown(user).encode(), b"(%d" % since_ms, b"+inf")


def shown_counts(reply: Reply) -> Counter[str]:
    """How often each creative was shown, from the reply to ``shown_request``; each decision counts once."""
    return Counter(member[DECISION_ID_BYTES:].decode(errors="replace") for member in reply)


class AsyncShownStore:
    """Writes what was shown."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        """Use ``client`` (replies as bytes)."""
        self._wire = Wire(client)

    async def add(self, shown: Iterable[Shown], window_ms: int) -> None:
        """Add impressions in one round trip; again is safe: a decision's first time stays.

        A user's set holds ``MAX_KEPT`` at most and goes ``window_ms`` after the last was added.

        Raises:
            UnavailableError: if Redis does not answer.
            StoreError: if Redis refuses a command.
        """
        commands: list[bytes] = []
        for each in shown:
            key = keys.shown(each.user).encode()
            member = each.decision_id + each.creative.encode()
            commands += (
                pack_command(b"ZADD", key, b"NX", b"%d" % each.shown_ms, member),
                pack_command(b"ZREMRANGEBYRANK", key, b"0", b"%d" % -(MAX_KEPT + 1)),
                pack_command(b"PEXPIRE", key, b"%d" % window_ms),
            )
        if commands:
            await self._wire.ask(commands, "write impressions")
