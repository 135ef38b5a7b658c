"""POST /v1/decide: for each item the arm to show, its picture, and sealed URLs for what happens next."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts import (
    LINUCB,
    ORIGINAL,
    ORIGINAL_ARM,
    Clock,
    TokenError,
    TokenPayload,
    TrafficPolicy,
    arms_bytes,
    arms_that_fit,
    id_text,
    new_decision_ids,
)
from serving.asking import Ask, category_of, check_request, refuse_unknown
from serving.bodies import CreativeOut, DecideIn, DecideOut, DecisionOut, ModelOut
from serving.choice import NO_PACK, Chosen, Scored, choose_scored, eligible_arms, score
from serving.config import ServerConfig
from serving.eligibility import narrowed
from serving.flags import item_flags, request_flags
from serving.gather import Encoder, Gathered, Gatherer
from serving.http import Request, RequestError, Response, decode_json, json_response, read_body
from serving.landing import is_picture_url, landing_url
from serving.memory import Slot
from serving.metrics import Metrics
from serving.refresh import PackTable, PolicyTable
from serving.tokens import TokenSealer

URL_TEXT = "item_profile:url"
IMAGE_TEXT = "item_profile:image_url"
# So many bytes of arms are left to a token as they are: names and URL have the rest.
PLAIN_ARMS_BYTES = 1_024

_decoder = msgspec.json.Decoder(DecideIn)


class Seen(NamedTuple):
    """What the studio shows of a decision: the context (d,) and the scores are those that were used."""

    decision_id: str
    decided_ms: int
    user: str
    item: str
    category: str
    placement: str
    policy: str
    chosen: Chosen
    context: NDArray[np.int16]
    creative_url: str | None
    flags: tuple[str, ...]


class _Round(NamedTuple):
    """What the decisions of one request share; sequences have an entry an item, ``contexts`` are their bytes."""

    user: str
    placement: str
    policy: str
    traffic: TrafficPolicy
    gathered: Gathered
    now_ms: int
    categories: Sequence[str]
    scored: Sequence[Scored]
    contexts: bytes


@dataclass(slots=True)
class Decider:
    """Answers decide requests; everything it needs is in memory but for one round trip to Redis.

    ``watch`` sees every decision.
    """

    config: ServerConfig
    gatherer: Gatherer
    encoder: Encoder
    policies: PolicyTable
    packs: PackTable
    sealer: TokenSealer
    clock: Clock
    metrics: Metrics
    watch: Callable[[Seen], None] | None = None
    _allowed_hosts: frozenset[str] = field(init=False)
    _impressions: str = field(init=False)
    _clicks: str = field(init=False)
    _media: str = field(init=False)
    _sealing_s: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        """Work out what is the same for every request."""
        self._allowed_hosts = frozenset(host.lower() for host in self.config.allowed_hosts)
        self._impressions = f"{self.config.base_url}/v1/i/"
        self._clicks = f"{self.config.base_url}/v1/c/"
        self._media = self.config.media_base_url.rstrip("/") or self.config.base_url

    async def handle(self, request: Request) -> Response:
        """Answer a decide request; only what is wrong with the request itself gets an error."""
        started = time.perf_counter()
        body = await read_body(request, self.config.body_limit_bytes, self.config.body_timeout_ms)
        user, placement, asks = check_request(decode_json(_decoder, body), self.config.max_items)
        answer = await self.decide(user, placement, asks)
        self.metrics.stage("total", time.perf_counter() - started)
        return json_response(200, answer)

    async def decide(self, user: str, placement: str, asks: list[Ask]) -> DecideOut:
        """Decide for a user and placement.

        Raises:
            RequestError: 404 if the stores answered and know neither of the items nor of the placement.
        """
        now_ms = self.clock.now_ms()
        gathered = await self.gatherer.gather(user, [ask.item for ask in asks], placement, now_ms)
        refuse_unknown(asks, placement, gathered)
        decided, self._sealing_s = time.perf_counter(), 0.0
        decisions = self._choose(user, placement, asks, gathered, now_ms)
        self.metrics.stage("choose", time.perf_counter() - decided - self._sealing_s)
        self.metrics.stage("seal", self._sealing_s)
        flags = request_flags(gathered, policy_loaded=self.policies.loaded)
        self.metrics.flags(flags)
        return DecideOut(decisions, self._model(asks[0], gathered.slots[0], now_ms), flags)

    def _choose(
        self, user: str, placement: str, asks: Sequence[Ask], gathered: Gathered, now_ms: int
    ) -> list[DecisionOut]:
        traffic = self.policies.traffic
        policy = traffic.policy_of(user)
        categories = [category_of(ask, slot) for ask, slot in zip(asks, gathered.slots, strict=True)]
        round_ = _Round(
            user,
            placement,
            policy,
            traffic,
            gathered,
            now_ms,
            categories,
            self._scored(policy, traffic, gathered, categories),
            gathered.contexts.astype("<i2", copy=False).tobytes(),
        )
        ids = new_decision_ids(now_ms, len(asks))
        self.metrics.decisions(policy, len(asks))
        return [self._decide_one(round_, row, ask, ids[row]) for row, ask in enumerate(asks)]

    def _scored(
        self, policy: str, traffic: TrafficPolicy, gathered: Gathered, categories: Sequence[str]
    ) -> Sequence[Scored]:
        # Without features every user looks alike: better an even choice than a confident one.
        if policy != LINUCB or not gathered.live:
            return (Scored(flag=NO_PACK),) * len(categories)
        packs = [self.packs.get(category) for category in categories]
        return score(gathered.contexts, packs, [traffic.alpha_of(each) for each in categories], self.encoder.hash)

    def _decide_one(self, shared: "_Round", row: int, ask: Ask, decision_id: bytes) -> DecisionOut:
        traffic, gathered, category = shared.traffic, shared.gathered, shared.categories[row]
        slot = gathered.slots[row]
        eligible, emptied = narrowed(
            eligible_arms(
                slot.creatives,
                self.policies.inactive(category),
                include_original=traffic.include_original,
            ),
            ask.arms,
            slot.creatives,
            gathered.capped,
        )
        landing, refused = landing_url(ask.url, slot.texts.get(URL_TEXT, ""), self._allowed_hosts)
        cut = False
        if arms_bytes(eligible) > PLAIN_ARMS_BYTES and shared.policy != ORIGINAL:
            eligible, cut = self._cut(eligible, shared, row, ask, decision_id, landing)
        chosen = choose_scored(
            shared.policy, eligible, shared.scored[row], epsilon=traffic.epsilon_of(category), key=decision_id
        )
        creative = self._creative(chosen.arm, ask, slot)
        flags = item_flags(gathered, row, chosen, creative, category, emptied, refused=refused, cut=cut)
        if flags:
            self.metrics.flags(flags)
        entries = len(shared.contexts) // len(shared.scored)
        # Where no picture is to be had, nothing of ours can be seen or clicked: no event, nothing learned.
        token = (
            ""
            if creative is None
            else self._seal(
                TokenPayload(
                    decision_id,
                    shared.user,
                    ask.item,
                    category,
                    chosen.arm,
                    creative.id or "",
                    shared.placement,
                    shared.policy,
                    chosen.eligible,
                    chosen.propensity,
                    chosen.generation,
                    shared.contexts[row * entries : (row + 1) * entries],
                    self.encoder.hash,
                    self.packs.lineage or "",
                    landing,
                )
            )
        )
        text_id = id_text(decision_id)
        if self.watch is not None:
            self.watch(
                Seen(
                    text_id,
                    shared.now_ms,
                    shared.user,
                    ask.item,
                    category,
                    shared.placement,
                    shared.policy,
                    chosen,
                    gathered.contexts[row],
                    creative.url if creative else None,
                    flags,
                )
            )
        return DecisionOut(
            ask.item,
            text_id,
            chosen.arm,
            creative,
            chosen.propensity,
            shared.policy,
            token and self._impressions + token,
            token and self._clicks + token,
            flags,
        )

    def _cut(
        self, eligible: tuple[str, ...], shared: "_Round", row: int, ask: Ask, decision_id: bytes, landing: str
    ) -> tuple[tuple[str, ...], bool]:
        """The eligible arms that a token has room for, whichever of them is chosen; and whether that are not all."""
        creatives = shared.gathered.slots[row].creatives
        payload = TokenPayload(
            decision_id, shared.user, ask.item, shared.categories[row], "", "", shared.placement, shared.policy,
            (), 0.0, 0, shared.contexts[: len(shared.contexts) // len(shared.scored)], self.encoder.hash,
            self.packs.lineage or "", landing,
        )  # fmt: skip
        likely = arms_that_fit(eligible, payload)
        widest = payload._replace(
            arm=max(likely, key=_size, default=""),
            creative=max((creatives[arm].creative_id for arm in likely), key=_size, default=""),
        )
        kept = arms_that_fit(likely, widest)
        return kept, len(kept) < len(eligible)

    def _creative(self, arm: str, ask: Ask, slot: Slot) -> CreativeOut | None:
        found = slot.creatives.get(arm)
        if found is not None:
            url = self._media + found.url if found.url.startswith("/") else found.url
            return CreativeOut(found.creative_id, url, found.width, found.height)
        if arm == ORIGINAL_ARM:
            for photo in (ask.image_url, slot.texts.get(IMAGE_TEXT)):
                if photo and is_picture_url(photo):
                    return CreativeOut(None, photo, None, None)
        return None

    def _seal(self, payload: TokenPayload) -> str:
        started = time.perf_counter()
        try:
            token = self.sealer.seal(payload)
        except TokenError as error:
            raise RequestError(400, "too_long", str(error)) from None
        self._sealing_s += time.perf_counter() - started
        return token

    def _model(self, ask: Ask, slot: Slot, now_ms: int) -> ModelOut | None:
        pack = self.packs.get(category_of(ask, slot))
        if pack is None:
            return None
        return ModelOut(pack.model.lineage, pack.model.generation, max(0, now_ms - pack.loaded_ms))


def _size(text: str) -> int:
    return len(text.encode())
