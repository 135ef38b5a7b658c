"""What a decide request asks for: checked, and refused where nobody could answer it."""

from functools import lru_cache
from typing import NamedTuple

from contracts import InvalidInputError, check_name, check_user
from serving.bodies import DecideIn, ItemIn
from serving.eligibility import ArmFilter, arm_filter
from serving.gather import Gathered
from serving.http import RequestError
from serving.landing import is_picture_url, is_web_url
from serving.memory import Slot

CATEGORY_TEXT = "item_profile:category"
NO_CATEGORY = "uncategorised"
_MEMO = 1024


class Ask(NamedTuple):
    """A checked request for one item."""

    item: str
    category: str | None
    image_url: str | None
    url: str | None
    arms: ArmFilter | None = None


def check_request(body: DecideIn, max_items: int) -> tuple[str, str, list[Ask]]:
    """Check the ids and URLs of a request: the user, the placement, one ``Ask`` an item.

    Raises:
        RequestError: 400, naming the value and the rule.
    """
    items = body.items if body.items is not None else [body.item] if body.item is not None else []
    if body.items is not None and body.item is not None:
        raise RequestError(400, "wrong_count", "send items, or item for a single one, not both")
    if not 0 < len(items) <= max_items:
        raise RequestError(400, "wrong_count", f"{len(items)} items: send 1 to {max_items} in items, or one in item")
    try:
        user, placement = check_user(body.user), check_name("placement", body.placement)
        arms = arm_filter(body.only_arms, body.exclude_arms)
        return user, placement, [_ask(item, arms) for item in items]
    except RequestError:
        raise
    except InvalidInputError as error:
        raise RequestError(400, "invalid_id", str(error)) from None


def _ask(item: ItemIn, arms: ArmFilter | None) -> Ask:
    check_name("item", item.id)
    if item.category is not None:
        check_name("category", item.category)
    for name, url, good in (("image_url", item.image_url, is_picture_url), ("url", item.url, is_web_url)):
        if url is not None and not good(url):
            detail = f"{name} {url[:120]!r} of item {item.id!r}: use an absolute http or https URL in plain ASCII"
            raise RequestError(400, "invalid_url", detail)
    return Ask(
        item.id, item.category, item.image_url, item.url, arm_filter(item.only_arms, item.exclude_arms, within=arms)
    )


def refuse_unknown(asks: list[Ask], placement: str, gathered: Gathered) -> None:
    """Refuse what nobody can answer: only when the stores were asked, and the request brings no picture itself."""
    if not gathered.live or any(slot.creatives for slot in gathered.slots) or any(ask.image_url for ask in asks):
        return
    if not any(slot.texts for slot in gathered.slots):
        named = ", ".join(ask.item for ask in asks[:5])
        detail = f"no features, creatives or image_url for {named}: check the ids, or send image_url with the items"
        raise RequestError(404, "unknown_item", detail)
    if not gathered.placement_known:
        detail = f"placement {placement!r} has no features and no creatives: check its id, or send image_url"
        raise RequestError(404, "unknown_placement", detail)


def category_of(ask: Ask, slot: Slot) -> str:
    """The category that the features name, else the request, else ``NO_CATEGORY``."""
    return _usable_category(slot.texts.get(CATEGORY_TEXT)) or ask.category or NO_CATEGORY


@lru_cache(maxsize=_MEMO)
def _usable_category(found: str | None) -> str | None:
    try:
        return check_name("category", found) if found else None
    except InvalidInputError:
        return None
