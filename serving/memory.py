"""What the server last knew of items and placements, for the times when Redis does not answer or has lost it all."""

from collections import OrderedDict
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, TypeVar

from contracts import CreativeRef

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Slot(NamedTuple):
    """Texts of an item (by feature reference) and its creatives in one placement (by arm)."""

    texts: Mapping[str, str] = MappingProxyType({})
    creatives: Mapping[str, CreativeRef] = MappingProxyType({})


NOTHING = Slot()
MAX_PLACEMENTS = 4_096


class SlotMemory:
    """The last ``capacity`` slots and items that were asked for, newest knowledge only."""

    def __init__(self, capacity: int) -> None:
        """Begin empty."""
        self._capacity = capacity
        self._slots: OrderedDict[tuple[str, str], Slot] = OrderedDict()
        self._texts: OrderedDict[str, Mapping[str, str]] = OrderedDict()
        self._placements: dict[str, None] = {}

    def __len__(self) -> int:
        """Count the slots remembered."""
        return len(self._slots)

    def remember(self, item: str, placement: str, slot: Slot) -> None:
        """Keep a slot; forgets the one unused for longest when full."""
        _keep(self._slots, (item, placement), slot, self._capacity)
        if slot.texts:
            _keep(self._texts, item, slot.texts, self._capacity)

    def recall(self, item: str, placement: str) -> Slot | None:
        """Return a slot if it is remembered; of an item known from other placements, its texts."""
        found = self._slots.get((item, placement))
        if found is None and (texts := self._texts.get(item)) is not None:
            return Slot(texts)
        return found

    def remember_placement(self, placement: str) -> None:
        """Keep that the stores knew a placement; forgets the one learnt of first when there are too many."""
        if placement not in self._placements:
            if len(self._placements) >= MAX_PLACEMENTS:
                del self._placements[next(iter(self._placements))]
            self._placements[placement] = None

    def knew_placement(self, placement: str) -> bool:
        """Tell whether the stores ever knew a placement, as far as is remembered."""
        return placement in self._placements


def _keep(kept: OrderedDict[_Key, _Value], key: _Key, value: _Value, capacity: int) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > capacity:
        kept.popitem(last=False)
