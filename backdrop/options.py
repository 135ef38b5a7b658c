"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

Home = Annotated[Path | None, typer.Option(help="Folder of local state [default: .backdrop]", show_default=False)]
RedisUrl = Annotated[
    str | None, typer.Option("--redis", help="Redis URL [default: redis://127.0.0.1:6379/0]", show_default=False)
]
LineageId = Annotated[
    str | None, typer.Option("--lineage", help="Id of the lineage [default: main]", show_default=False)
]
