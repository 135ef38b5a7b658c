"""The HTTP server: decisions, events, health, creatives, studio page (docs/serving.md)."""

from serving.admin import AdminConfig, admin_server
from serving.app import App, create_app
from serving.config import ServerConfig
from serving.gather import ReaderFactory
from serving.keyring import KeyRing, ensure_keyring, load_keyring, new_keyring, rotate_keyring, save_keyring
from serving.runner import serve
from serving.supervisor import Supervisor, WorkerState
from serving.tokens import TokenSealer
from serving.worker import Place, work

__all__ = [
    "AdminConfig",
    "App",
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
    "rotate_keyring",
    "save_keyring",
    "serve",
    "work",
]
