"""Impressions and clicks: pixels, redirects and server-side events, all of which carry a token."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from contracts import CLICK, IMPRESSION, Clock, StoreError, TokenError, TokenPayload
from serving.bodies import ErrorOut, EventIn, EventOut, EventsIn, EventsOut, EventsRefusedOut
from serving.buffer import EventBuffer
from serving.config import ServerConfig
from serving.facts import KIND_NAMES, KINDS, Signed, fact_of
from serving.http import NO_STORE, Request, RequestError, Response, decode_json, json_response, read_body
from serving.joint import JointAppends
from serving.metrics import Metrics
from serving.tokens import RevokedKeyError, TokenSealer

# The smallest transparent GIF: 1 × 1, 43 bytes.
PIXEL = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")

_PIXEL_RESPONSE = Response(
    200,
    PIXEL,
    b"image/gif",
    ((b"cache-control", b"no-store, max-age=0"), (b"cross-origin-resource-policy", b"cross-origin")),
)
_NOWHERE = Response(204, headers=(NO_STORE,))
# Statuses after which nothing is wrong with an event.
_TAKEN = frozenset({"accepted", "duplicate_unknown", "expired"})
_RETRY = (NO_STORE, (b"retry-after", b"1"))
_DUPLICATE = EventOut("duplicate_unknown", "repeats an event before it in this batch: a decision's kind counts once")
_NOT_ENCODABLE = EventOut("not_encodable", "its token is ours, but what it holds cannot be written as a fact")
_decoder = msgspec.json.Decoder(EventsIn)


@dataclass(frozen=True, slots=True)
class EventRoutes:
    """The handlers of /v1/i, /v1/c and /v1/events."""

    config: ServerConfig
    sealer: TokenSealer
    buffer: EventBuffer
    clock: Clock
    metrics: Metrics
    joint: JointAppends

    async def impression(self, request: Request) -> Response:
        """GET /v1/i/<token>: count an impression, answer a transparent pixel."""
        await self._record(self._open(request.tail), IMPRESSION)
        return _PIXEL_RESPONSE

    async def click(self, request: Request) -> Response:
        """GET /v1/c/<token>: count a click, redirect to where the token says (204 if it says nowhere)."""
        payload = self._open(request.tail)
        await self._record(payload, CLICK)
        if not payload.landing_url:
            return _NOWHERE
        headers = (
            NO_STORE,
            (b"location", payload.landing_url.encode("ascii")),
            # The token stays between the page and us.
            (b"referrer-policy", b"no-referrer"),
        )
        return Response(302, headers=headers)

    async def batch(self, request: Request) -> Response:
        """POST /v1/events: answer per event, 202 once the log has all that were accepted."""
        body = decode_json(
            _decoder, await read_body(request, self.config.body_limit_bytes, self.config.body_timeout_ms)
        )
        if not 0 < len(body.events) <= self.config.max_events:
            detail = f"{len(body.events)} events: send 1 to {self.config.max_events} at a time"
            raise RequestError(400, "wrong_count", detail)
        now_ms = self.clock.now_ms()
        outcomes, taken = self._judge_all(body.events, now_ms)
        if taken:
            try:
                refused = await self.buffer.append_now([signed for _, signed in taken])
            except StoreError:
                for _, signed in taken:
                    self._count(signed, "unavailable")
                detail = "the event log did not confirm the events: send them all again"
                return json_response(503, ErrorOut("log_unavailable", detail), _RETRY)
            for place, signed in taken:
                if refused and signed in refused:
                    outcomes[place] = _NOT_ENCODABLE
                self._count(signed, outcomes[place].status)
        if not any(outcome.status in _TAKEN for outcome in outcomes):
            reason = outcomes[0].status
            self.metrics.rejected(reason)
            detail = "none of the events can be taken, see their entries"
            return json_response(400, EventsRefusedOut(reason, detail, outcomes))
        accepted = sum(outcome.status == "accepted" for outcome in outcomes)
        return json_response(202, EventsOut(accepted, outcomes))

    def _open(self, token: str) -> TokenPayload:
        try:
            return self.sealer.open(token)
        except TokenError as error:
            self.metrics.event("unknown", _outcome(error))
            raise RequestError(400, "bad_token", str(error)) from None

    async def _record(self, payload: TokenPayload, kind: int) -> None:
        now_ms = self.clock.now_ms()
        if self._expired(payload, now_ms):
            outcome = "expired"
        elif self.config.sync_pixels:
            outcome = await self._append(fact_of(payload, kind, now_ms))
        else:
            outcome = self._put(fact_of(payload, kind, now_ms), "buffered")
        self.metrics.event(KIND_NAMES[kind], outcome)

    async def _append(self, signed: Signed) -> str:
        try:
            written = await self.joint.append(signed)
        except StoreError:
            # The page gets its pixel all the same; the fact waits in the buffer like any other.
            return self._put(signed, "deferred")
        return "accepted" if written else "not_encodable"

    def _put(self, signed: Signed, outcome: str) -> str:
        return outcome if self.buffer.put(signed) else "overflow"

    def _expired(self, payload: TokenPayload, now_ms: int) -> bool:
        return now_ms - payload.decision_ms > self.config.counting_ms

    def _judge_all(self, events: Sequence[EventIn], now_ms: int) -> tuple[list[EventOut], list[tuple[int, Signed]]]:
        """What becomes of each event once the log has the facts, and these, each with its event's place."""
        outcomes, taken = [], []
        seen: set[tuple[bytes, int]] = set()
        for place, event in enumerate(events):
            outcome, signed = self._judge(event, now_ms)
            if signed is not None:
                identity = (signed.fact.decision_id, signed.fact.kind)
                if identity in seen:
                    # Appended all the same: its time may be the one that counts.
                    outcome = _DUPLICATE
                seen.add(identity)
                taken.append((place, signed))
            outcomes.append(outcome)
        return outcomes, taken

    def _judge(self, event: EventIn, now_ms: int) -> tuple[EventOut, Signed | None]:
        kind = KINDS.get(event.kind)
        if kind is None:
            self.metrics.event("unknown", "bad_kind")
            return EventOut("bad_kind", f"kind {event.kind[:40]!r}: use one of {sorted(KINDS)}"), None
        try:
            payload = self.sealer.open(event.token)
        except TokenError as error:
            self.metrics.event(event.kind, _outcome(error))
            return EventOut("bad_token", str(error)), None
        event_ms = now_ms if event.event_ms is None else event.event_ms
        earliest, latest = payload.decision_ms - self.config.grace_ms, now_ms + self.config.grace_ms
        if not earliest <= event_ms <= latest:
            self.metrics.event(event.kind, "bad_time")
            return EventOut("bad_time", f"event_ms {event_ms} is not between {earliest} and {latest}"), None
        if self._expired(payload, now_ms):
            self.metrics.event(event.kind, "expired")
            return EventOut("expired"), None
        return EventOut("accepted"), fact_of(payload, kind, event_ms)

    def _count(self, signed: Signed, outcome: str) -> None:
        self.metrics.event(KIND_NAMES[signed.fact.kind], outcome)


def _outcome(error: TokenError) -> str:
    """What a refused token is counted as; its bearer is told the same of both."""
    return "revoked_key" if isinstance(error, RevokedKeyError) else "bad_token"
