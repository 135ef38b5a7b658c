"""Models by hub id: found in the hub library's cache, fetched into it only where that is allowed."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts import SetupError
from generation.model_listing import Listing

_NAME = r"[A-Za-z0-9][\w.-]*"
_ID = re.compile(rf"(?P<repo>{_NAME}/{_NAME})(@(?P<revision>{_NAME}(/{_NAME})*))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class HubId:
    """A model on a hub: ``owner/name``, and a branch, tag or commit."""

    repo: str
    revision: str

    @classmethod
    def parse(cls, text: str) -> "HubId | None":
        """Read ``owner/name`` or ``owner/name@revision``; None if the text is no such thing."""
        found = _ID.fullmatch(text)
        return None if found is None or ".." in text else cls(found["repo"], found["revision"] or "main")

    def __str__(self) -> str:
        """As it is written in options."""
        return f"{self.repo}@{self.revision}"


def cached(hub: HubId, marker: str) -> Path | None:
    """The folder, named after the commit, in which the cache holds a model's file ``marker``; asks no network."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(hub.repo, marker, revision=hub.revision)
    return Path(found).parent if isinstance(found, str) else None


def fetch(hub: HubId, pick: Callable[[Listing], Iterable[str]]) -> Path:
    """Download the files that ``pick`` chooses into the cache: the folder, named after the commit.

    Raises:
        SetupError: if the hub cannot be reached or lacks the model, the revision or a file.
    """
    from huggingface_hub import HfApi

    api: Any = HfApi()
    commit = _asked(hub, lambda: api.resolve_revision(hub.repo, revision=hub.revision).resolved)
    names = _asked(hub, lambda: frozenset(api.list_repo_files(hub.repo, revision=commit)))

    def read(name: str) -> Path:
        return Path(_asked(hub, lambda: str(api.hf_hub_download(hub.repo, name, revision=commit))))

    wanted = list(pick(Listing(str(hub), names, read)))
    return Path(_asked(hub, lambda: str(api.snapshot_download(hub.repo, revision=commit, allow_patterns=wanted))))


def _asked(hub: HubId, ask: Callable[[], Any]) -> Any:
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    # The library and its HTTP client raise errors of several trees.
    try:
        return ask()
    except RevisionNotFoundError as error:
        message = f"model {hub.repo} has no revision {hub.revision!r} at {constants.ENDPOINT}: name one that exists"
        raise SetupError(message) from error
    except GatedRepoError as error:
        message = f"model {hub.repo} at {constants.ENDPOINT} asks for consent: give it there, then `hf auth login`"
        raise SetupError(message) from error
    except RepositoryNotFoundError as error:
        message = (
            f"there is no model {hub.repo} at {constants.ENDPOINT}, or it is private, and no such folder here: check "
            "the name, or `hf auth login`"
        )
        raise SetupError(message) from error
    except Exception as error:
        message = f"model {hub} could not be fetched from {constants.ENDPOINT}: {error}"
        raise SetupError(message) from error
