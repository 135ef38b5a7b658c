"""What an answer says of its own quality: the flags of each decision, and of the request."""

from serving.asking import NO_CATEGORY
from serving.bodies import CreativeOut
from serving.choice import NO_CREATIVE, NO_PACK, Chosen
from serving.gather import Gathered

ARMS_CUT = "arms_cut"


def item_flags(
    gathered: Gathered,
    row: int,
    chosen: Chosen,
    creative: CreativeOut | None,
    category: str,
    emptied: str | None,
    *,
    refused: bool,
    cut: bool,
) -> tuple[str, ...]:
    """What was missing for the item in ``row``; ``emptied`` names the filter that left it no arm."""
    flags = []
    if chosen.flag is not None and (gathered.live or chosen.flag != NO_PACK):
        flags.append(chosen.flag)
    if creative is None and chosen.flag != NO_CREATIVE:
        flags.append(NO_CREATIVE)
    if emptied is not None and chosen.flag == NO_CREATIVE:
        flags.append(emptied)
    if gathered.stale[row]:
        flags.append("stale_features")
    if gathered.remembered[row]:
        flags.append("remembered_creatives")
    if creative is None and gathered.live and not gathered.slots[row].texts:
        flags.append("unknown_item")
    if category == NO_CATEGORY:
        flags.append("no_category")
    if refused:
        flags.append("landing_refused")
    if cut:
        flags.append(ARMS_CUT)
    return tuple(flags)


def request_flags(gathered: Gathered, *, policy_loaded: bool) -> tuple[str, ...]:
    """What was missing for all of a request."""
    flags = []
    if not gathered.live:
        flags.append("redis_unavailable")
    elif not gathered.user_known:
        flags.append("cold_user")
    if not policy_loaded:
        flags.append("default_policy")
    return tuple(flags)
