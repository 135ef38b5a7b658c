"""The HTTP server: decisions, events, health, creatives, studio page (docs/serving.md)."""

from serving.app import App, create_app
from serving.config import ServerConfig
from serving.gather import ReaderFactory
from serving.keyring import KeyRing, ensure_keyring, load_keyring, new_keyring, rotate_keyring, save_keyring
from serving.runner import serve
from serving.tokens import TokenSealer

__all__ = [
    "App",
    "KeyRing",
    "ReaderFactory",
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
