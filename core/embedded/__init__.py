"""Local Valkey and PostgreSQL, started from wheels (extra `embedded`); no system packages needed.

`servers(data_dir, settings)` is what commands use; `Valkey` and `Postgres` are for tests that kill
and restart them.
"""

from .postgres import Postgres
from .process import EmbeddedError
from .servers import Servers, servers
from .valkey import Valkey

__all__ = ["EmbeddedError", "Postgres", "Servers", "Valkey", "servers"]
