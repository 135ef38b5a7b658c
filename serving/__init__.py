"""The HTTP server and its client: decisions, events, health, creatives, studio page (docs/serving.md).

Names are loaded when they are first used: whoever wants the client gets no server, and needs none installed.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving.admin import AdminConfig, admin_server
    from serving.app import App, create_app
    from serving.client import AsyncClient, Client
    from serving.config import ServerConfig
    from serving.gather import ReaderFactory
    from serving.keyring import (
        KeyRing,
        ensure_keyring,
        load_keyring,
        new_keyring,
        revoke_keys,
        rotate_keyring,
        save_keyring,
    )
    from serving.runner import serve
    from serving.supervisor import Supervisor, WorkerState
    from serving.tokens import TokenSealer
    from serving.worker import Place, work

__all__ = [
    "AdminConfig",
    "App",
    "AsyncClient",
    "Client",
    "KeyRing",
    "Place",
    "ReaderFactory",
    "ServerConfig",
    "Supervisor",
    "TokenSealer",
    "WorkerState",
    "admin_server",
    "create_app",
    "ensure_keyring",
    "load_keyring",
    "new_keyring",
    "revoke_keys",
    "rotate_keyring",
    "save_keyring",
    "serve",
    "work",
]

_HOMES = {
    "serving.admin": ("AdminConfig", "admin_server"),
    "serving.app": ("App", "create_app"),
    "serving.client": ("AsyncClient", "Client"),
    "serving.config": ("ServerConfig",),
    "serving.gather": ("ReaderFactory",),
    "serving.keyring": (
        "KeyRing",
        "ensure_keyring",
        "load_keyring",
        "new_keyring",
        "revoke_keys",
        "rotate_keyring",
        "save_keyring",
    ),
    "serving.runner": ("serve",),
    "serving.supervisor": ("Supervisor", "WorkerState"),
    "serving.tokens": ("TokenSealer",),
    "serving.worker": ("Place", "work"),
}


def __getattr__(name: str) -> object:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
