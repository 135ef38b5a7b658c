"""The driver's part: streams the catalogue into chunks of products, which are all that the pipeline begins with."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from beam_pipelines.generate.config import GenerateConfig
from beam_pipelines.generate.elements import Item
from beam_pipelines.generate.manifest import DeadLetterRow, write_dead
from beam_pipelines.generate.photos import Found, PhotoSource
from contracts import InvalidInputError, Product
from generation import DeadRow, PromptBook, iter_catalogue
from stores import ObjectStore

_LETTERS = 1_000


@dataclass(frozen=True, slots=True)
class Chunk:
    """An object that holds products, one a line (``Item``); ``categories`` counts them."""

    path: str
    categories: Mapping[str, int]

    @property
    def products(self) -> int:
        """How many products it holds."""
        return sum(self.categories.values())


@dataclass(slots=True)
class Intake:
    """Reads a catalogue once, in memory that does not grow with it but for the ids.

    ``plans`` takes the chunks, ``letters`` (None: nobody keeps them) the dead letters. ``carried`` keeps photos that
    are files, for workers that do not see this machine's disk (None: they do).
    """

    config: GenerateConfig
    book: PromptBook
    plans: ObjectStore
    prefix: str
    letters: ObjectStore | None = None
    carried: PhotoSource | None = None
    dead: Counter[str] = field(default_factory=Counter)

    @property
    def arms(self) -> frozenset[str]:
        """The arms that ``only`` names."""
        return frozenset(self.config.only) & _arms(self.book)

    def chunks(self) -> Iterator[Chunk]:
        """Write the chunks; ``dead`` counts the rows that cannot be used, by reason, as it goes.

        Raises:
            InvalidInputError: if the catalogue cannot be used, or ``only`` names nothing in it.
            StoreError: if the object store fails.
        """
        products = self._products()
        number = 0
        while part := list(islice(products, self.config.chunk)):
            items = self._items(part)
            path = f"{self.prefix}{number}.jsonl"
            self.plans.put(path, b"\n".join(item.to_bytes() for item in items), "application/jsonl")
            yield Chunk(path, Counter(product.category for product in part))
            number += 1

    def _products(self) -> Iterator[Product]:
        """The products that ``only`` and ``limit`` leave; reads on behind the last while a name was not seen."""
        limit, taken = self.config.limit, 0
        of_products = frozenset(self.config.only) - self.arms
        unseen = set(of_products)
        waiting: list[DeadLetterRow] = []
        for entry in iter_catalogue(Path(self.config.catalogue), self.book.prompts.keys()):
            if isinstance(entry, DeadRow):
                waiting.append(DeadLetterRow(entry.item_id, entry.reason, entry.detail))
                if len(waiting) == _LETTERS:
                    self._bury(waiting)
                continue
            names = {entry.item_id, entry.category}
            unseen -= names
            if (not of_products or of_products & names) and (not limit or taken < limit):
                taken += 1
                yield entry
            if limit and taken >= limit and not unseen:
                break
        self._bury(waiting)
        _refuse(self.config, unseen)

    def _bury(self, rows: list[DeadLetterRow]) -> None:
        self.dead.update(row.reason for row in rows)
        if self.letters is not None and rows:
            write_dead(self.letters, rows)
        rows.clear()

    def _items(self, products: Collection[Product]) -> Iterable[Item]:
        if self.carried is None:
            return [Item(product) for product in products]
        found = self.carried.find_all(products, Path(self.config.catalogue).parent)
        return [Item(product, photo.kept if isinstance(photo, Found) else "") for product, photo in found]


def _arms(book: PromptBook) -> frozenset[str]:
    return frozenset(prompt.arm for prompts in book.prompts.values() for prompt in prompts)


def _refuse(config: GenerateConfig, unknown: Collection[str]) -> None:
    if unknown:
        message = (
            f"only = {sorted(unknown)}: no such item id, category or arm in {config.catalogue} and {config.prompts}"
        )
        raise InvalidInputError(message)


def read_chunk(plans: ObjectStore, path: str) -> Iterator[Item]:
    """The products of a chunk.

    Raises:
        StoreError: if it is not there.
    """
    return (Item.from_bytes(line) for line in plans.get(path).splitlines())
