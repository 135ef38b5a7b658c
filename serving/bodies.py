"""Bodies of requests and answers (docs/serving.md)."""

import msgspec


class ItemIn(msgspec.Struct, frozen=True):
    """An item of an ad request; ``category``, ``image_url`` and ``url`` are for when the stores do not know it.

    ``only_arms`` and ``exclude_arms`` narrow what may be chosen for it.
    """

    id: str
    category: str | None = None
    image_url: str | None = None
    url: str | None = None
    only_arms: list[str] | None = None
    exclude_arms: list[str] | None = None


class DecideIn(msgspec.Struct, frozen=True):
    """Body of POST /v1/decide: ``items``, or ``item`` for one; its own lists of arms hold for every item."""

    user: str
    placement: str
    items: list[ItemIn] | None = None
    item: ItemIn | None = None
    only_arms: list[str] | None = None
    exclude_arms: list[str] | None = None


class EventIn(msgspec.Struct, frozen=True):
    """One server-side event; ``event_ms`` defaults to now."""

    token: str
    kind: str
    event_ms: int | None = None


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
    """One item's answer; ``creative`` is null when there is nothing to show."""

    item: str
    decision_id: str
    arm: str
    creative: CreativeOut | None
    propensity: float
    policy: str
    impression_url: str
    click_url: str
    flags: tuple[str, ...]


class ModelOut(msgspec.Struct, frozen=True):
    """The pack behind the first item's scores; ``age_ms`` since this server took it up."""

    lineage: str
    generation: int
    age_ms: int


class DecideOut(msgspec.Struct, frozen=True):
    """Answer of POST /v1/decide; ``flags`` are those that hold for the whole request."""

    decisions: list[DecisionOut]
    model: ModelOut | None
    flags: tuple[str, ...]


class EventOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one event: ``accepted``, ``expired``, ``bad_token``, ``bad_kind`` or ``bad_time``."""

    status: str
    detail: str = ""


class EventsOut(msgspec.Struct, frozen=True):
    """Answer of POST /v1/events, one entry an event in their order."""

    accepted: int
    events: list[EventOut]
