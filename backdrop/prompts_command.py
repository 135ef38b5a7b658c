"""``backdrop prompts``: drafts by a language model, reviewed drafts into the prompt file, and a look at that file."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from backdrop.options import Home, read_settings
from contracts import InvalidInputError, Product, Prompt

prompts = typer.Typer(help="Write, review and check the prompts of the prompt file.", no_args_is_help=True)

PromptFile = Annotated[
    Path | None, typer.Option("--prompts", help="The prompt file [default: generate.prompts]", show_default=False)
]
ModelFolder = Annotated[
    Path | None, typer.Option(help="Diffusion model whose tokenizer counts tokens.", show_default=False)
]
_TITLES = 8
_EXAMPLES = 4


@prompts.command("check")
def check(
    file: PromptFile = None,
    model_folder: ModelFolder = None,
    catalogue: Annotated[
        Path | None, typer.Option(help="Count the products that cannot have a prompt.", show_default=False)
    ] = None,
    home: Home = None,
) -> None:
    """Show every prompt with its tokens, tags and what looks forgotten; exit code 1 if one cannot be painted."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from generation import TokenBudget, check_book, iter_catalogue, read_prompts

    path = _file(file, home)
    book = read_prompts(path)
    budget = None if model_folder is None else TokenBudget(model_folder)
    products: Iterable[object] = () if catalogue is None else iter_catalogue(catalogue, book.prompts.keys())
    rows = check_book(book, budget, (row for row in products if isinstance(row, Product)))
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("category", "arm", "characters" if budget is None else f"tokens (of {budget.limit})", "tags", "mind"):
        table.add_column(name)
    for row in rows:
        size = str(len(row.text)) if row.tokens is None else f"{row.tokens[0]} + {row.tokens[1]}"
        cells = (row.category, row.arm, size, " ".join(row.tags.values()), "; ".join(row.warnings))
        table.add_row(*(Text(cell, style="red" if row.broken else "") for cell in cells))
    Console().print(table)
    typer.echo(f"{path}: {len(rows)} prompts in {len(book.prompts)} categories")
    raise typer.Exit(1 if any(row.broken for row in rows) else 0)


@prompts.command("draft")
def draft(
    model: Annotated[Path, typer.Option(help="Folder of a text-generation model (transformers, safetensors).")],
    category: Annotated[str, typer.Option(help="Category to write for.")],
    out: Annotated[Path, typer.Option(help="Draft file to write.")] = Path("drafts.yaml"),
    count: Annotated[int, typer.Option(help="How many drafts are wanted.", min=1, max=200)] = 10,
    option: Annotated[
        list[str] | None, typer.Option(help="seed=0, temperature=0.9, top_p=0.95, max_new_tokens=120; repeatable.")
    ] = None,
    instruction: Annotated[Path | None, typer.Option(help="Text file with the task in your words.")] = None,
    file: PromptFile = None,
    model_folder: ModelFolder = None,
) -> None:
    """Let a local language model draft prompts for a category; a person reviews them, then 'freeze' takes them in."""
    from generation import (
        Brief,
        TokenBudget,
        WriterSettings,
        draft_prompts,
        iter_catalogue,
        open_writer,
        read_prompts,
        write_drafts,
    )

    settings = read_settings(None, None)
    book = read_prompts(file or settings.generate.prompts)
    there = book.of(category)
    rows = iter_catalogue(settings.generate.catalogue, {*book.prompts, category})
    titles = (row.title for row in rows if isinstance(row, Product) and row.category == category)
    given = {} if instruction is None else {"instruction": _read(instruction)}
    brief = Brief(
        category,
        examples=tuple(prompt.text for prompt in (there or _first_of_each(book.prompts.values())))[:_EXAMPLES],
        titles=tuple(islice(titles, _TITLES)),
        product_words=there[0].product_words if there else (),
        **given,
    )
    write = open_writer(WriterSettings.from_options(str(model), option or ()))
    budget = None if model_folder is None else TokenBudget(model_folder)
    drafts = draft_prompts(brief, count, write, (lambda _: None) if budget is None else budget.check)
    write_drafts(out, category, drafts.texts)
    left_out = ", ".join(f"{reason} {number}" for reason, number in drafts.left_out.items())
    typer.echo(f"{out}: {len(drafts.texts)} drafts for {category} (left out: {left_out or 'none'})")
    if not brief.product_words:
        typer.echo(f"{category} has no product_words in the prompt file: see to it that no draft names the product")
    typer.echo("read them, mark what is good with 'keep: true', then: backdrop prompts freeze")


@prompts.command("freeze")
def freeze(
    drafts: Annotated[Path, typer.Argument(help="A reviewed draft file.")],
    into: Annotated[
        Path | None, typer.Option(help="The prompt file [default: generate.prompts]", show_default=False)
    ] = None,
    home: Home = None,
) -> None:
    """Put the drafts marked 'keep: true' into the prompt file; what is there, comments too, stays as it is."""
    from generation import freeze as freeze_drafts

    path = _file(into, home)
    typer.echo(f"{path}: {freeze_drafts(drafts, path)} prompts added")


def _first_of_each(categories: Iterable[tuple[Prompt, ...]]) -> list[Prompt]:
    return [each[0] for each in categories]


def _file(given: Path | None, home: Path | None) -> Path:
    return given or read_settings(home, None).generate.prompts


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path} cannot be read as text: {error}"
        raise InvalidInputError(message) from error
