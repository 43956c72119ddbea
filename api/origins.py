"""A page of another origin may not make a browser act here.

There are no keys yet, and the server is reachable from every page its user's browser shows. JSON
bodies already need a preflight; commands without a body would not.
"""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from ..core.config import Settings
from .problems import FORBIDDEN, Problem


def refuse_others(request: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard: refuse a request that a page of an origin neither ours nor allowed makes."""
    origin = request.headers.get("origin")
    if origin is None:
        return
    settings: Settings = request.app.state.settings
    own = origin.partition("://")[2] == request.headers.get("host")
    if not own and origin not in settings.cors_origins and "*" not in settings.cors_origins:
        raise Problem(FORBIDDEN, f"Pages of {origin[:200]} may not do that.")
