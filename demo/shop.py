"""The shop that a seed makes: catalogue, shoppers, hidden truth, and what the shop knows of all of them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts import ContextSchema, InvalidInputError, Placement, Product, Prompt
from demo.population import Population, item_table, make_population, placement_table, user_table
from demo.simulation import RequestEncoder
from demo.world import WORLDS, World, build_world
from feature_repo import write_profiles
from generation import read_placements, read_prompts
from generation.catalogue import read_catalogue

CATALOGUE = Path(__file__).resolve().parent / "catalogue"
SHOP_URL = "https://shop.example"

# Streams of randomness, so that more decisions do not change the world, nor another world the shoppers.
_PEOPLE, _TRUTH, _TRAFFIC, _REPORT = range(4)


@dataclass(frozen=True, slots=True)
class Shop:
    """Everything the demo starts from; ``popularity`` (I,) in 0 to 1 is what the shop has seen of demand."""

    seed: int
    products: tuple[Product, ...]
    prompts: tuple[Prompt, ...]
    placements: tuple[Placement, ...]
    population: Population
    world: World
    popularity: NDArray[np.float64]

    @property
    def categories(self) -> tuple[str, ...]:
        """Categories of the products, ascending; their places are their codes."""
        return tuple(sorted({product.category for product in self.products}))

    @property
    def item_category(self) -> NDArray[np.int64]:
        """Category codes of the items (I,)."""
        names = self.categories
        return np.array([names.index(product.category) for product in self.products], dtype=np.int64)

    def traffic_rng(self) -> np.random.Generator:
        """Randomness of the shoppers' visits."""
        return np.random.default_rng([self.seed, _TRAFFIC])

    def report_rng(self) -> np.random.Generator:
        """Randomness of the bootstrap."""
        return np.random.default_rng([self.seed, _REPORT])

    def encoder(self, schema: ContextSchema) -> RequestEncoder:
        """Contexts of requests by the served schema."""
        return RequestEncoder(schema, self.population, self.products, self.placements, self.popularity)

    def write_profiles(self, folder: Path, now_us: int) -> None:
        """Write the Parquet files behind the Feast views; ``now_us`` is the rows' event time (microseconds)."""
        now = pa.scalar(now_us, pa.timestamp("us", tz="UTC"))
        landing = [f"{SHOP_URL}/p/{product.item_id}" for product in self.products]
        photos = [f"{SHOP_URL}/photos/{product.item_id}.jpg" for product in self.products]
        write_profiles(
            folder,
            users=user_table(self.population, now),
            items=item_table(self.products, self.popularity, landing, photos, now),
            placements=placement_table(self.placements, now),
        )


def open_shop(catalogue: Path, *, world: str, shoppers: int, seed: int) -> Shop:
    """Read the catalogue folder and draw the shoppers and the truth of ``seed``.

    Raises:
        InvalidInputError: if the world is unknown, or the catalogue cannot be read or holds no products.
    """
    if world not in WORLDS:
        message = f"world {world!r} is not known: use {' or '.join(WORLDS)}"
        raise InvalidInputError(message)
    book = read_prompts(catalogue / "prompts.yaml")
    products = read_catalogue(catalogue / "products.parquet", book.prompts.keys()).products
    placements = read_placements(catalogue / "placements.yaml")
    if not products:
        message = f"{catalogue / 'products.parquet'} holds no usable product: see the dead letters of generate"
        raise InvalidInputError(message)
    sold = {product.category for product in products}
    prompts = tuple(prompt for category in sorted(sold) for prompt in book.of(category))
    population = make_population(shoppers, np.random.default_rng([seed, _PEOPLE]))
    truth = build_world(population, products, placements, prompts, WORLDS[world], np.random.default_rng([seed, _TRUTH]))
    return Shop(
        seed=seed,
        products=products,
        prompts=prompts,
        placements=placements,
        population=population,
        world=truth,
        popularity=truth.item_share / truth.item_share.max(),
    )
