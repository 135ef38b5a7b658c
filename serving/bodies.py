"""Bodies of requests and answers (docs/serving.md); /openapi.json is made from them.

What ``_rule`` adds is written into that document only: requests are judged by ``serving.decide`` and
``serving.events``, which say what is wrong in words of ours.
"""

from typing import Annotated, Literal

import msgspec

from contracts.ids import MAX_NAME_CHARS, MAX_USER_CHARS
from serving.eligibility import MAX_LISTED_ARMS
from serving.landing import MAX_URL_CHARS

TOKEN_PATTERN = "^[A-Za-z0-9_-]+$"

_HOST = "[A-Za-z0-9]([A-Za-z0-9.-]{0,60}[A-Za-z0-9])?(:[1-9][0-9]{0,3})?"
_BEHIND = "[A-Za-z0-9._~:/?#@!$&'()*+,;=%-]*"
_WEB_URL = f"^https?://{_HOST}([/?#]{_BEHIND})?$"
_PICTURE_URL = f"^(https?://{_HOST}([/?#]{_BEHIND})?|/([A-Za-z0-9._~:?#@!$&'()*+,;=%-]{_BEHIND})?)$"


def _rule(text: str, **schema: object) -> msgspec.Meta:
    """Describe a field; ``schema`` are further words of JSON Schema."""
    return msgspec.Meta(description=text, extra_json_schema=schema)


Name = Annotated[
    str,
    _rule(
        f"1 to {MAX_NAME_CHARS} letters, digits (of any script) or _ . ~ @ + -",
        pattern=r"^[^\x00-*,/:-?\[-\^`{-}\x7f]*$",
        minLength=1,
        maxLength=MAX_NAME_CHARS,
        **{"not": {"enum": [".", ".."]}},
    ),
]
User = Annotated[
    str,
    _rule(
        f"1 to {MAX_USER_CHARS} printable characters",
        pattern=r"^[^\x00-\x1f\x7f]*$",
        minLength=1,
        maxLength=MAX_USER_CHARS,
    ),
]
WebUrl = Annotated[
    str,
    _rule(
        "where a click may lead: http(s), plain ASCII, no user info; taken where its host is allowed",
        pattern=_WEB_URL,
        maxLength=MAX_URL_CHARS,
    ),
]
PictureUrl = Annotated[
    str,
    _rule(
        "photo for when there is no creative: http(s), or a path of the page's own host",
        pattern=_PICTURE_URL,
        maxLength=MAX_URL_CHARS,
    ),
]
Arms = Annotated[list[Name], _rule("names of arms", maxItems=MAX_LISTED_ARMS)]
Flags = Annotated[tuple[str, ...], _rule("what was missing: the table of flags is in docs/serving.md")]
Count = Annotated[int, _rule("a number of pieces", minimum=0)]


class ItemIn(msgspec.Struct, frozen=True):
    """An item of an ad request; ``category``, ``image_url`` and ``url`` are for when the stores do not know it.

    ``only_arms`` and ``exclude_arms`` narrow what may be chosen for it.
    """

    id: Name
    category: Name | None = None
    image_url: PictureUrl | None = None
    url: WebUrl | None = None
    only_arms: Arms | None = None
    exclude_arms: Arms | None = None


class DecideIn(msgspec.Struct, frozen=True):
    """Body of POST /v1/decide: ``items``, or ``item`` for one; its own lists of arms hold for every item."""

    user: User
    placement: Name
    items: list[ItemIn] | None = None
    item: ItemIn | None = None
    only_arms: Arms | None = None
    exclude_arms: Arms | None = None


class EventIn(msgspec.Struct, frozen=True):
    """One server-side event; ``event_ms`` defaults to now."""

    token: Annotated[str, _rule("the end of a decision's impression_url or click_url")]
    kind: Annotated[str, _rule("impression or click")]
    event_ms: Annotated[int, _rule("when it happened, milliseconds since 1970")] | None = None


class EventsIn(msgspec.Struct, frozen=True):
    """Body of POST /v1/events."""

    events: list[EventIn]


class CreativeOut(msgspec.Struct, frozen=True):
    """A picture to show; ``id``, ``width``, ``height`` are null for a photo that is not one of ours."""

    id: str | None
    url: str
    width: int | None
    height: int | None


class DecisionOut(msgspec.Struct, frozen=True):
    """One item's answer; ``creative`` is null when there is nothing to show, and both URLs are then ""."""

    item: Name
    decision_id: Annotated[str, _rule("UUIDv7 of the decision", format="uuid")]
    arm: Name
    creative: CreativeOut | None
    propensity: Annotated[
        float, _rule("probability with which the policy chose this arm", exclusiveMinimum=0, maximum=1)
    ]
    policy: Name
    impression_url: str
    click_url: str
    flags: Flags


class ModelOut(msgspec.Struct, frozen=True):
    """The pack behind the first item's scores; ``age_ms`` since this server took it up."""

    lineage: str
    generation: int
    age_ms: Count


class DecideOut(msgspec.Struct, frozen=True):
    """Answer of POST /v1/decide, one decision an item in their order; ``flags`` hold for the whole request."""

    decisions: list[DecisionOut]
    model: ModelOut | None
    flags: Flags


EventStatus = Literal["accepted", "duplicate_unknown", "expired", "bad_token", "bad_kind", "bad_time", "not_encodable"]


class EventOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one event, and why.

    ``accepted``: the event log has it. ``duplicate_unknown``: the log has it, too, but the same kind on the same
    decision stands before it in this batch; whether it adds anything is for the learner to say, who counts a
    decision's impression and click once each. ``expired``: the decision is too old to count, nothing was written.
    ``bad_token``, ``bad_kind``, ``bad_time``, ``not_encodable``: nothing was written, and sending it again will not
    help.
    """

    status: EventStatus
    detail: str = ""


class EventsOut(msgspec.Struct, frozen=True):
    """Answer of POST /v1/events, one entry an event in their order; ``accepted`` counts those of that status."""

    accepted: Count
    events: list[EventOut]


class ErrorOut(msgspec.Struct, frozen=True):
    """Every 4xx and 5xx: ``error`` is a stable word, ``detail`` says what to change."""

    error: str
    detail: str


class EventsRefusedOut(msgspec.Struct, frozen=True):
    """A batch of which nothing was taken; ``error`` is the first event's status, ``events`` has them all."""

    error: EventStatus
    detail: str
    events: list[EventOut]


class AliveOut(msgspec.Struct, frozen=True):
    """Answer of GET /healthz."""

    status: Literal["ok"]


class ReadyOut(msgspec.Struct, frozen=True):
    """Answer of GET /readyz; ``reasons`` are why not, ``degraded`` what is wrong but no reason to go elsewhere."""

    ready: bool
    reasons: list[str]
    degraded: list[str]
    clock_skew_ms: int | None
    buffered_facts: Count
    lineage: str | None
    packs: dict[str, int]
