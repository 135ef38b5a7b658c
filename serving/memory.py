"""What the server last knew of an (item, placement), for the times when Redis does not answer."""

from collections import OrderedDict
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from contracts import CreativeRef


class Slot(NamedTuple):
    """Texts of an item (by feature reference) and its creatives in one placement (by arm)."""

    texts: Mapping[str, str] = MappingProxyType({})
    creatives: Mapping[str, CreativeRef] = MappingProxyType({})


NOTHING = Slot()


class SlotMemory:
    """The last ``capacity`` slots that were asked for, newest knowledge only."""

    def __init__(self, capacity: int) -> None:
        """Begin empty."""
        self._capacity = capacity
        self._slots: OrderedDict[tuple[str, str], Slot] = OrderedDict()

    def __len__(self) -> int:
        """Count the slots remembered."""
        return len(self._slots)

    def remember(self, item: str, placement: str, slot: Slot) -> None:
        """Keep a slot; forgets the one unused for longest when full."""
        key = (item, placement)
        self._slots[key] = slot
        self._slots.move_to_end(key)
        if len(self._slots) > self._capacity:
            self._slots.popitem(last=False)

    def forget(self, item: str, placement: str) -> None:
        """Drop a slot that the stores no longer know."""
        self._slots.pop((item, placement), None)

    def recall(self, item: str, placement: str) -> Slot | None:
        """Return a slot if it is remembered."""
        return self._slots.get((item, placement))
