"""``backdrop gallery``: the pictures of the manifest as one HTML file."""

import itertools
from pathlib import Path
from typing import Annotated

import typer

from backdrop.options import Home, read_settings
from backdrop.settings import Settings
from contracts import BackdropError, Product, SetupError

# Titles are for looks only: a larger catalogue is not read to its end for them.
_MOST_TITLES = 100_000


def gallery(
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("gallery.html"),
    placement: Annotated[list[str] | None, typer.Option(help="Only this placement; repeatable.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only this item, category or prompt; repeatable.")] = None,
    limit: Annotated[int, typer.Option(help="Most pictures shown.", min=1, max=5_000)] = 5_000,
    link: Annotated[str, typer.Option(help="Where the object store is, seen from the file: refer to pictures.")] = "",
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "Creatives",
    home: Home = None,
) -> None:
    """Write a page of all pictures to judge them by eye: filters, before and after, reasons, pass rates.

    It is one file that opens from disk and asks nothing of the network. With --link it refers to the full pictures.
    """
    from beam_pipelines.generate import gallery_of
    from stores import open_objects

    settings = read_settings(home, None)
    page = gallery_of(
        open_objects(settings.objects_location),
        title=title,
        placements=placement or (),
        only=only or (),
        limit=limit,
        link=link,
        titles=_titles(settings),
    )
    try:
        out.write_text(page, "utf-8")
    except OSError as error:
        message = f"{out} cannot be written ({error.strerror}): choose another file with --out"
        raise SetupError(message) from error
    typer.echo(f"{out} ({len(page.encode()) / 2**20:.1f} MiB)")


def _titles(settings: Settings) -> dict[str, str]:
    """Titles by item id, as far as the catalogue can be read: without them the page shows ids."""
    from generation import iter_catalogue, read_prompts

    titles: dict[str, str] = {}
    try:
        categories = read_prompts(settings.generate.prompts).prompts.keys()
        rows = iter_catalogue(settings.generate.catalogue, categories)
        for product in itertools.islice((row for row in rows if isinstance(row, Product)), _MOST_TITLES):
            titles[product.item_id] = product.title
    except BackdropError as error:
        typer.echo(f"no titles: {error}", err=True)
    return titles
