"""What a client does, as steps without I/O: what to ask, how long to wait, what an answer means, errors.

``serving.client`` takes the steps, with threads or with asyncio; nothing of the server is loaded.
"""

import html
import random
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from contracts.errors import BackdropError, FormatError, InvalidInputError, UnavailableError
from serving.bodies import DecideIn, DecideOut, DecisionOut, ErrorOut, EventIn, EventOut, EventsIn, EventsOut, ItemIn

_T = TypeVar("_T")
_FIRST_PAUSE_S = 0.1
_LAST_PAUSE_S = 2.0
_MAX_RETRY_AFTER_S = 60.0
_OK, _ACCEPTED = 200, 202
# 502 and 504 are a proxy's words for the same.
_BUSY = (502, 503, 504)
_REFUSALS = range(400, 500)


class ClientError(BackdropError):
    """Base of all that a client raises."""


class RefusedError(ClientError, InvalidInputError):
    """The server refused the request (4xx): ``reason`` is its stable word; sending it again will not help.

    ``events`` says what is wrong with each event of a batch of which none was taken.
    """

    def __init__(self, status: int, reason: str, detail: str, events: Sequence[EventOut] = ()) -> None:
        """Keep what the server said."""
        super().__init__(f"{reason} ({status}): {detail}")
        self.status = status
        self.reason = reason
        self.detail = detail
        self.events = tuple(events)


class UnreachableError(ClientError, UnavailableError):
    """No answer: the server could not be reached, or not in time. It may have done what it was asked."""


class BusyError(ClientError, UnavailableError):
    """The server cannot do it now (503 or a proxy's 502, 504), and we were not to wait longer."""


class AnswerError(ClientError, FormatError):
    """The answer is none that this client knows: is it a Backdrop server, and of this version?"""


class _ErrorBody(ErrorOut, frozen=True):
    """An error, of a batch of events or of anything else."""

    events: tuple[EventOut, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """A step: POST ``body`` to ``path``."""

    path: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    """A step: wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back of a call."""

    status: int
    retry_after: str
    body: bytes


# Yields what to do next; is sent the answer of a call (None after a pause), or thrown an UnreachableError.
Steps = Generator[Call | Pause, Answer | None, _T]


def decide_steps(
    user: str,
    placement: str,
    items: Sequence[str | ItemIn],
    only_arms: Sequence[str] | None = None,
    exclude_arms: Sequence[str] | None = None,
) -> Steps[DecideOut]:
    """Ask once: a page cannot wait for more, and has its photo to show."""
    body = DecideIn(
        user,
        placement,
        [item if isinstance(item, ItemIn) else ItemIn(item) for item in items],
        only_arms=None if only_arms is None else list(only_arms),
        exclude_arms=None if exclude_arms is None else list(exclude_arms),
    )
    answer = yield from _answered(Call("/v1/decide", msgspec.json.encode(body)))
    return _read(answer, _OK, DecideOut)


def send_steps(
    events: Sequence[EventIn], patience_s: float, draw: Callable[[], float] = random.random
) -> Steps[EventsOut]:
    """Send a batch until the event log has it, pausing ``patience_s`` in all; repeats of a batch count once.

    ``draw`` gives numbers from 0 to 1: each pause is any part of one that doubles ("full jitter"), behind what
    Retry-After asks for, so that clients that failed together do not come back together.
    """
    call = Call("/v1/events", msgspec.json.encode(EventsIn(list(events))))
    pause_s, left_s = _FIRST_PAUSE_S, patience_s
    while True:
        failure: ClientError
        asked_s = 0.0
        try:
            answer = yield from _answered(call)
        except UnreachableError as error:
            failure = error
        else:
            if answer.status not in _BUSY:
                return _read(answer, _ACCEPTED, EventsOut)
            waited_s = patience_s - left_s
            message = f"status {answer.status} for {len(events)} events, after pauses of {waited_s:.1f} s"
            failure = BusyError(message)
            asked_s = _seconds(answer.retry_after)
        wait_s = asked_s + pause_s * draw()
        if wait_s > left_s:
            raise failure
        left_s -= wait_s
        pause_s = min(2 * pause_s, _LAST_PAUSE_S)
        yield Pause(wait_s)


def _answered(call: Call) -> Steps[Answer]:
    answer = yield call
    assert answer is not None, "whoever takes the steps sends the answer of a call"
    return answer


def _seconds(retry_after: str) -> float:
    """Retry-After in seconds (RFC 9110, section 10.2.3); a date, which this server never sends, is 0."""
    return min(float(retry_after), _MAX_RETRY_AFTER_S) if retry_after.isascii() and retry_after.isdigit() else 0.0


def _read(answer: Answer, good: int, kind: type[_T]) -> _T:
    """The body of a good answer.

    Raises:
        RefusedError, BusyError, AnswerError: by its status.
    """
    try:
        if answer.status == good:
            return msgspec.json.decode(answer.body, type=kind)
        said = msgspec.json.decode(answer.body, type=_ErrorBody)
    except msgspec.DecodeError as error:
        message = f"status {answer.status} with a body that cannot be read: {error}"
        raise AnswerError(message) from error
    if answer.status in _REFUSALS:
        raise RefusedError(answer.status, said.error, said.detail, said.events)
    message = f"{said.error} ({answer.status}): {said.detail}"
    raise BusyError(message) if answer.status in _BUSY else AnswerError(message)


def token_of(decision: DecisionOut) -> str:
    """The token that events on a decision carry.

    Raises:
        InvalidInputError: if nothing was to be shown, so that nothing can have happened.
    """
    if not decision.impression_url:
        message = f"decision {decision.decision_id} on item {decision.item!r} has no picture: there are no events on it"
        raise InvalidInputError(message)
    return decision.impression_url.rpartition("/")[2]


def impression(decision: DecisionOut, event_ms: int | None = None) -> EventIn:
    """The event "was shown", at ``event_ms`` (None: when the server takes it in)."""
    return EventIn(token_of(decision), "impression", event_ms)


def click(decision: DecisionOut, event_ms: int | None = None) -> EventIn:
    """The event "was clicked", at ``event_ms`` (None: when the server takes it in)."""
    return EventIn(token_of(decision), "click", event_ms)


def ad_html(decision: DecisionOut, alt: str = "") -> str:
    """HTML that shows the picture, leads its clicks, and loads the pixel; "" if there is no picture."""
    if decision.creative is None:
        return ""
    sizes = (("width", decision.creative.width), ("height", decision.creative.height))
    size = "".join(f' {name}="{value}"' for name, value in sizes if value is not None)
    picture = f'<img src="{html.escape(decision.creative.url)}"{size} alt="{html.escape(alt)}">'
    pixel = f'<img src="{html.escape(decision.impression_url)}" width="1" height="1" alt="">'
    return f'<a href="{html.escape(decision.click_url)}">{picture}</a>{pixel}'
