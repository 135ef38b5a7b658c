"""Options that several commands have, and the settings that they lead to."""

from pathlib import Path
from typing import Annotated

import typer

from backdrop.logging import configure_logging
from backdrop.settings import Settings, load_settings

Home = Annotated[Path | None, typer.Option(help="Folder of local state [default: .backdrop]", show_default=False)]
RedisUrl = Annotated[
    str | None, typer.Option("--redis", help="Redis URL [default: redis://127.0.0.1:6379/0]", show_default=False)
]
LineageId = Annotated[
    str | None, typer.Option("--lineage", help="Id of the lineage [default: main]", show_default=False)
]


def read_settings(home: Path | None, redis_url: str | None, **sections: object) -> Settings:
    """Set logs up and read the settings; what is None was not given.

    Raises:
        SettingsError: naming each setting that is wrong and why.
    """
    configure_logging()
    return load_settings(home=home, redis_url=redis_url, **sections)
