"""Which of an item's arms a request lets the policy choose: its own lists, and what its user has seen enough of."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from contracts import CreativeRef, InvalidInputError, check_name

ARMS_EXCLUDED = "arms_excluded"
CAPPED = "capped"
MAX_LISTED_ARMS = 256


@dataclass(frozen=True, slots=True)
class ArmFilter:
    """Arms that may be chosen: those in ``only`` (None: all), without those in ``exclude``."""

    only: frozenset[str] | None = None
    exclude: frozenset[str] = frozenset()

    def narrow(self, arms: Iterable[str]) -> tuple[str, ...]:
        """The arms that pass, in their order."""
        return tuple(arm for arm in arms if arm not in self.exclude and (self.only is None or arm in self.only))


def arm_filter(only: list[str] | None, exclude: list[str] | None, within: ArmFilter | None = None) -> ArmFilter | None:
    """The filter of two lists, which narrows ``within`` further; None if there is none.

    Names that are no arm of an item match nothing: one list serves items of many categories.

    Raises:
        InvalidInputError: if a list is too long or holds what cannot be an arm's name.
    """
    if only is None and exclude is None:
        return within
    wider = within or ArmFilter()
    kept = wider.only
    if only is not None:
        named = _checked(only)
        kept = named if kept is None else kept & named
    return ArmFilter(kept, wider.exclude | _checked(exclude or []))


def narrowed(
    eligible: tuple[str, ...],
    arms: ArmFilter | None,
    creatives: Mapping[str, CreativeRef],
    capped: frozenset[str],
) -> tuple[tuple[str, ...], str | None]:
    """What is left of the eligible arms, and the flag of what left none of them.

    ``capped`` holds ids of creatives that the user has seen often enough. The policy chooses among what is returned,
    so that propensities are those of the narrowed choice.
    """
    allowed = eligible if arms is None else arms.narrow(eligible)
    if eligible and not allowed:
        return (), ARMS_EXCLUDED
    fresh = tuple(arm for arm in allowed if creatives[arm].creative_id not in capped) if capped else allowed
    return fresh, CAPPED if allowed and not fresh else None


def _checked(names: list[str]) -> frozenset[str]:
    if len(names) > MAX_LISTED_ARMS:
        message = f"a list of {len(names)} arms: name at most {MAX_LISTED_ARMS}"
        raise InvalidInputError(message)
    return frozenset(check_name("arm", name) for name in names)
