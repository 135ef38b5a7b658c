"""What /openapi.json says of each route: its answers, headers, examples; shapes and limits come from the bodies."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from serving.bodies import (
    TOKEN_PATTERN,
    AliveOut,
    CreativeOut,
    DecideIn,
    DecideOut,
    DecisionOut,
    ErrorOut,
    EventOut,
    EventsIn,
    EventsOut,
    EventsRefusedOut,
    ModelOut,
    ReadyOut,
)
from serving.tokens import MAX_TOKEN_CHARS

_Json = dict[str, Any]
_READING = ("empty_body", "not_json", "wrong_type", "wrong_count")
_RETRY = {"Retry-After": ("seconds to wait before trying again", {"type": "integer", "minimum": 1})}
_NO_STORE = {"Cache-Control": ("no-store: never kept", {"type": "string"})}
_TAG = {
    "ETag": ("compare with If-None-Match", {"type": "string"}),
    "Cache-Control": ("how long it may be kept", {"type": "string"}),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One status: what it means, what it carries; ``example`` is a ``schema``.

    ``reasons`` are the words that an error's ``error`` may be, beside those that ``schema`` (a struct) allows.
    """

    text: str
    schema: type[msgspec.Struct] | None = None
    reasons: tuple[str, ...] = ()
    media: tuple[str, ...] = ()
    headers: Mapping[str, tuple[str, _Json]] = field(default_factory=dict)
    example: msgspec.Struct | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """What is said of a route; ``tail`` is the pattern of what stands behind its path, ``example`` a ``body``."""

    summary: str
    answers: Mapping[int, Answer]
    text: str = ""
    body: type[msgspec.Struct] | None = None
    example: _Json | None = None
    tail: str = ""
    parameters: Mapping[str, tuple[str, _Json]] = field(default_factory=dict)


def _refused(*reasons: str) -> Answer:
    return Answer("refused: " + ", ".join(reasons), ErrorOut, reasons)


_BODY_ANSWERS = {408: _refused("slow_body"), 413: _refused("body_too_large")}
_TOKEN = {
    "token": (
        "what the server sealed: the end of impression_url or click_url",
        {"type": "string", "pattern": TOKEN_PATTERN, "maxLength": MAX_TOKEN_CHARS},
    )
}
_PART = {"type": "string", "pattern": "^[A-Za-z0-9_-]+$", "maxLength": 128}

_DECISION = DecisionOut(
    item="sofa-1",
    decision_id="01a2170a-325c-7a09-bea6-d4213d2b343b",
    arm="oak-loft",
    creative=CreativeOut("9f0c", "https://cdn.example/creatives/9f/9f0c.jpg", 540, 960),
    propensity=0.97,
    policy="linucb",
    impression_url="https://ads.example/v1/i/AWEZ",
    click_url="https://ads.example/v1/c/AWEZ",
    flags=(),
)
_DECIDED = DecideOut([_DECISION], ModelOut("main", 412, 380), ("cold_user",))
_FORGED = EventOut("bad_token", "token is not one of ours")
_JUDGED = EventsOut(1, [EventOut("accepted"), EventOut("expired"), _FORGED])

OPERATIONS: Mapping[str, Operation] = {
    "decide": Operation(
        "Choose the pictures to show",
        {
            200: Answer("one decision an item, in their order", DecideOut, headers=_NO_STORE, example=_DECIDED),
            400: _refused(*_READING, "invalid_id", "invalid_url", "too_long"),
            404: _refused("unknown_item", "unknown_placement"),
            **_BODY_ANSWERS,
        },
        text="A well-formed request is answered whatever is missing behind the server; flags say what was.",
        body=DecideIn,
        example={"user": "u-17", "placement": "story", "item": {"id": "sofa-1"}},
    ),
    "events": Operation(
        "Tell what happened, a batch at a time",
        {
            202: Answer(
                "judged one by one; the event log has those accepted", EventsOut, headers=_NO_STORE, example=_JUDGED
            ),
            400: Answer(
                f"nothing was taken: {', '.join(_READING)}, or no event of the batch can be (with events)",
                EventsRefusedOut,
                _READING,
                example=EventsRefusedOut("bad_token", "none of the events can be taken, see their entries", [_FORGED]),
            ),
            **_BODY_ANSWERS,
            503: Answer(
                "the log did not confirm: send the whole batch again", ErrorOut, ("log_unavailable",), headers=_RETRY
            ),
        },
        text="The body is read as JSON whatever its Content-Type says, so that navigator.sendBeacon may send it.",
        body=EventsIn,
        example={"events": [{"token": "AWEZ", "kind": "click", "event_ms": 1_795_442_278_106}]},
    ),
    "impression": Operation(
        "Count an impression, answer a transparent pixel",
        {200: Answer("43 bytes", media=("image/gif",), headers=_NO_STORE), 400: _refused("bad_token")},
        tail="{token}",
        parameters=_TOKEN,
    ),
    "click": Operation(
        "Count a click and lead on",
        {
            204: Answer("the decision leads nowhere", headers=_NO_STORE),
            302: Answer(
                "where the decision said",
                headers={"Location": ("sealed in the token", {"type": "string", "format": "uri"}), **_NO_STORE},
            ),
            400: _refused("bad_token"),
        },
        tail="{token}",
        parameters=_TOKEN,
    ),
    "media": Operation(
        "A creative, where pictures are served from a folder",
        {
            200: Answer("the picture, kept for ever", media=("image/jpeg", "image/png", "image/webp"), headers=_TAG),
            304: Answer("not changed", headers=_TAG),
            404: _refused("no_such_picture"),
        },
        tail="creatives/{folder}/{name}.jpg",
        parameters={"folder": ("first letters of the name", _PART), "name": ("id of the creative", _PART)},
    ),
    "healthz": Operation("Whether the process answers", {200: Answer("it does", AliveOut)}),
    "readyz": Operation(
        "Whether to send requests here",
        {200: Answer("yes", ReadyOut), 503: Answer("no, for the reasons given", ReadyOut)},
    ),
    "metrics": Operation(
        "Counters and histograms", {200: Answer("Prometheus text", media=("text/plain",), headers=_NO_STORE)}
    ),
    "openapi": Operation(
        "This document",
        {
            200: Answer("OpenAPI 3.1", media=("application/json",), headers=_TAG),
            304: Answer("not changed", headers=_TAG),
        },
    ),
}
