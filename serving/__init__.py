"""The HTTP server and its client: decisions, events, health, creatives, studio page (docs/serving.md).

Names are loaded when they are first used: whoever wants the client gets no server, and needs none installed.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving.app import App, create_app
    from serving.client import AsyncClient, Client
    from serving.config import ServerConfig
    from serving.keyring import KeyRing, ensure_keyring, load_keyring, new_keyring, rotate_keyring, save_keyring
    from serving.runner import serve
    from serving.tokens import TokenSealer

__all__ = [
    "App",
    "AsyncClient",
    "Client",
    "KeyRing",
    "ServerConfig",
    "TokenSealer",
    "create_app",
    "ensure_keyring",
    "load_keyring",
    "new_keyring",
    "rotate_keyring",
    "save_keyring",
    "serve",
]

_HOMES = {
    "serving.app": ("App", "create_app"),
    "serving.client": ("AsyncClient", "Client"),
    "serving.config": ("ServerConfig",),
    "serving.keyring": (
        "KeyRing",
        "ensure_keyring",
        "load_keyring",
        "new_keyring",
        "rotate_keyring",
        "save_keyring",
    ),
    "serving.runner": ("serve",),
    "serving.tokens": ("TokenSealer",),
}


def __getattr__(name: str) -> object:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
