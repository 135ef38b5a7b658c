"""The studio: one page that shows what the system does, live."""

from serving.studio.feed import Studio
from serving.studio.routes import studio_routes

__all__ = ["Studio", "studio_routes"]
