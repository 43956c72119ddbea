"""Counts every request that goes through Litestar's routes; the hot route counts itself."""

import time
from typing import Any

from litestar.types import ASGIApp, Receive, Scope, Send


def counted(app: ASGIApp) -> ASGIApp:
    """ASGI middleware: method, route (never the address itself), status and duration."""

    async def count(scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()

        async def observed(message: Any) -> None:
            if message["type"] == "http.response.start":
                metrics = scope["litestar_app"].state.resources.metrics
                route = scope.get("path_template") or "other"
                metrics.answered(scope.get("method", ""), route, message["status"], started)
            await send(message)

        await app(scope, receive, observed)

    return count
