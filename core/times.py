"""Times as they are written for people and clients."""

from datetime import UTC, datetime


def time_of(ms: int) -> str:
    """RFC 3339 in UTC with milliseconds."""
    return f"{datetime.fromtimestamp(ms // 1000, UTC).isoformat()[:19]}.{ms % 1000:03d}Z"
