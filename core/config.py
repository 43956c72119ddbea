"""Settings: one frozen value, read and checked once, from `MILLSTREAM_*` variables or a TOML file.

`load` is the only way in. The environment wins over the file. Every error names the setting, what
was expected and what was given; passwords in URLs are never shown.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from . import config_values as values
from .config_values import redact
from .errors import ConfigError

PREFIX = "MILLSTREAM_"

#: Variables with our prefix that are no settings, and who reads them.
OTHER_VARIABLES = {
    "MILLSTREAM_CONFIG": "the TOML file, read here",
    "MILLSTREAM_URL": "where the command line finds the API",
    "MILLSTREAM_NOTIFY_FD": "core.ready, set by `millstream up`",
    "MILLSTREAM_LIFELINE_FD": "core.ready, set by `millstream up`",
}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Durations are seconds. Build it with `load`; tests may build it directly."""

    redis_url: str = "redis://127.0.0.1:6379/0"
    postgres_dsn: str = "postgresql://postgres@127.0.0.1:5432/millstream"
    namespace: str = "ms"  #: prefix of every Redis key

    host: str = "127.0.0.1"
    port: int = 8000
    trust_network: bool = False  #: the operator's word that the network in front authenticates
    cors_origins: tuple[str, ...] = ()
    max_body: int = 8 * 2**20  #: bytes of a request
    max_depth: int = 64  #: nesting of a payload
    max_horizon_days: int = 366  #: how far ahead `run_at` may lie
    unknown_types: Literal["refuse", "accept"] = "refuse"
    check_payloads: bool = True  #: refuse those that no worker takes
    idempotency_ttl: float = 86400.0  #: how long a request is remembered by its Idempotency-Key

    ack_replicas: int = 1  #: how many have what is acknowledged as replicated
    ack_timeout: float = 5.0  #: how long a submission waits for a level of acknowledgement

    queues: tuple[str, ...] = ("default",)  #: what a worker serves: names, name:weight, or "*"
    concurrency: int = 100
    lease: float = 30.0
    grace: float = 10.0  #: how long a drain waits for handlers
    max_crashes: int = 3
    fetch_batch: int = 125  #: most jobs one claim takes; what costs Redis least per job
    max_memory: int | None = None  #: bytes above which a worker is replaced
    stall_timeout: float = 300.0  #: a worker that stopped working for so long ends; 0: never
    code_version: str = ""  #: what operators call the code a worker runs
    command_timeout: float = 5.0
    sweep: float = 1.0  #: between two safety sweeps
    handler_missing_after: float = 86400.0
    max_result_bytes: int = 8 * 2**20  #: size of what a handler returns, as JSON
    processes: int = values.processors()  #: most processes of a worker for jobs
    process_max_jobs: int = 1000  #: after so many a process is renewed; 0: never
    process_max_memory: int = 0  #: bytes above which it is renewed after a job; 0: no bound
    max_step_bytes: int = 256 * 1024  #: size of what one step of a job gives, as JSON

    retention: tuple[str, ...] = ()  #: days that jobs are kept after their end: queue:days, *:days
    retention_statistics: float | None = None  #: days that statistics per minute are kept
    erasure_secret: bytes | None = None  #: wraps the keys of subjects; without it there are none
    erasure_old_secret: bytes | None = None  #: the one before, while it is being changed

    projector_batch: int = 5000
    audit_rate: int = 500  #: live jobs the projector looks after each second; 0: none
    stuck_after: float = 60.0  #: how long a job may be due for no known reason
    log_margin: int = 100_000  #: events kept in the stream behind the archive

    proof_key: str | None = None  #: file of the key that signs heads; without it nothing is sealed
    proof_segment: int = 4096  #: most events of a segment
    proof_interval: float = 60.0  #: how long an archived event waits to be sealed
    proof_heads: tuple[str, ...] = ("log",)  #: where heads are written: log, file:PATH, a URL

    data_dir: str | None = None  #: where `data.query` finds its files
    smtp_host: str = "127.0.0.1"
    smtp_port: int = 25
    smtp_from: str = "millstream@localhost"

    log_level: str = "info"
    log_format: Literal["auto", "json", "console"] = "auto"

    explicit: frozenset[str] = frozenset()  #: the settings that were given, not defaulted

    @property
    def weights(self) -> dict[str, int]:
        """The queues by name, each with its share of a worker that has more work than slots."""
        return dict(map(values.queue_weight, self.queues))

    @property
    def kept_days(self) -> dict[str, float]:
        """Queue, or `*`, and for how many days its jobs are kept after their end."""
        pairs = (given.rpartition(":") for given in self.retention)
        return {queue: float(days) for queue, _, days in pairs}

    def __repr__(self) -> str:
        fields = ((name, getattr(self, name)) for name in self.__struct_fields__)
        shown = (f"{name}={_shown(name, value)}" for name, value in fields if name != "explicit")
        return f"Settings({', '.join(shown)})"


_SECRET = frozenset({"erasure_secret", "erasure_old_secret"})


def _shown(name: str, value: object) -> str:
    return "***" if name in _SECRET and value is not None else redact(repr(value))


_READERS: dict[str, values.Reader] = {
    "redis_url": values.url("redis", "rediss", "unix"),
    "postgres_dsn": values.url("postgresql", "postgres"),
    "namespace": values.name,
    "host": values.text("a host name or address"),
    "port": values.integer(0, 65535),
    "trust_network": values.boolean,
    "cors_origins": values.listed(values.text("origins such as https://example.org")),
    "max_body": values.size(1024),
    "max_depth": values.integer(1, 512),
    "max_horizon_days": values.integer(1, 36_500),
    "unknown_types": values.choice("refuse", "accept"),
    "check_payloads": values.boolean,
    "idempotency_ttl": values.seconds(1),
    "ack_replicas": values.integer(1, 100),
    "ack_timeout": values.seconds(0.01),
    "queues": values.queues,
    "concurrency": values.integer(1, 100_000),
    "lease": values.seconds(1),
    "grace": values.seconds(0),
    "max_crashes": values.integer(0),
    "fetch_batch": values.integer(1, 10_000),
    "max_memory": values.optional(values.size(1)),
    "stall_timeout": values.seconds(0),
    "code_version": values.label,
    "command_timeout": values.seconds(0.1),
    "sweep": values.seconds(0.05),
    "handler_missing_after": values.seconds(0),
    "max_result_bytes": values.size(1),
    "processes": values.integer(1, 1000),
    "process_max_jobs": values.integer(0),
    "process_max_memory": values.size(0),
    "max_step_bytes": values.size(1),
    "retention": values.retention,
    "retention_statistics": values.optional(values.days),
    "erasure_secret": values.optional(values.secret(32)),
    "erasure_old_secret": values.optional(values.secret(32)),
    "projector_batch": values.integer(1, 100_000),
    "audit_rate": values.integer(0, 100_000),
    "stuck_after": values.seconds(1),
    "log_margin": values.integer(0),
    "proof_key": values.optional(values.text("a file")),
    "proof_segment": values.integer(1, 65_536),
    "proof_interval": values.seconds(0.05),
    "proof_heads": values.listed(values.head_target, least=1),
    "data_dir": values.optional(values.text("a folder")),
    "smtp_host": values.text("a host name or address"),
    "smtp_port": values.integer(1, 65535),
    "smtp_from": values.text("a mail address"),
    "log_level": values.choice("debug", "info", "warning", "error"),
    "log_format": values.choice("auto", "json", "console"),
}


def load(environ: Mapping[str, str] | None = None, file: str | Path | None = None) -> Settings:
    """Settings from the environment and, below it, a TOML file (`file` or `MILLSTREAM_CONFIG`).

    Raises `ConfigError`, also for a variable or key that is no setting.
    """
    environ = os.environ if environ is None else environ
    path = file or environ.get("MILLSTREAM_CONFIG")
    given: dict[str, Any] = {}
    if path:
        for key, value in _read_toml(Path(path)).items():
            given[key] = _read(key, value, f"{key} (in {path})")
    for variable, value in environ.items():
        if not variable.startswith(PREFIX) or variable in OTHER_VARIABLES:
            continue
        key = variable.removeprefix(PREFIX).lower()
        if key not in _READERS:
            raise _unknown(variable, known=(*_variables(), *OTHER_VARIABLES))
        given[key] = _read(key, value, variable)
    return _checked(Settings(**given, explicit=frozenset(given)))


def override(settings: Settings, given: Mapping[str, object]) -> Settings:
    """`settings` with some replaced, as by options of the command line (checked the same way)."""
    read = {key: _read(key, value, f"--{key.replace('_', '-')}") for key, value in given.items()}
    explicit = settings.explicit | frozenset(read)
    return _checked(msgspec.structs.replace(settings, **read, explicit=explicit))


def as_environ(settings: Settings, names: Iterable[str] | None = None) -> dict[str, str]:
    """Variables from which another process loads the same settings (by default: those given)."""

    def text(value: object) -> str:
        if value is None:
            return ""
        if isinstance(value, bytes):
            return value.hex()
        return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)

    names = settings.explicit if names is None else names
    return {PREFIX + name.upper(): text(getattr(settings, name)) for name in sorted(names)}


def require_loopback(host: str, *, trust_network: bool = False) -> None:
    """Refuse to serve beyond this machine: without API keys, who reaches the port rules the jobs.

    `trust_network` is the operator's statement that the network in front (a private container
    network, an authenticating proxy) lets only the right people through.
    """
    if trust_network or _is_loopback(host):
        return
    raise ConfigError(
        f"{PREFIX}HOST",
        "a loopback address (127.0.0.1, ::1, localhost), since there are no API keys yet; set "
        f"{PREFIX}TRUST_NETWORK=true only where the network in front of the API authenticates",
        host,
    )


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _checked(settings: Settings) -> Settings:
    """Bounds that hold between settings."""
    if settings.lease <= 2 * settings.command_timeout:
        raise ConfigError(
            f"{PREFIX}LEASE",
            "more than twice MILLSTREAM_COMMAND_TIMEOUT (a lease must outlive one renewal that "
            f"times out and one that succeeds), that is more than {2 * settings.command_timeout:g}",
            settings.lease,
        )
    least = max(5.0, 6 * settings.command_timeout)
    if "stall_timeout" not in settings.explicit:
        longer = max(settings.stall_timeout, least)
        settings = msgspec.structs.replace(settings, stall_timeout=longer)
    if 0 < settings.stall_timeout < least:
        raise ConfigError(
            f"{PREFIX}STALL_TIMEOUT",
            "0 (never), or at least 5 and six times MILLSTREAM_COMMAND_TIMEOUT (a wait for Redis "
            f"is no stall), that is {least:g}",
            settings.stall_timeout,
        )
    if "*" in settings.queues and len(settings.queues) > 1:
        raise ConfigError(
            f"{PREFIX}QUEUES", "either * alone or names of queues", ",".join(settings.queues)
        )
    if len(settings.weights) < len(settings.queues):
        raise ConfigError(f"{PREFIX}QUEUES", "each queue once", ",".join(settings.queues))
    return settings


def _read(key: str, given: object, source: str) -> Any:
    if key not in _READERS:
        raise _unknown(source, known=tuple(_READERS))
    try:
        return _READERS[key](given)
    except values.Unfit as error:
        shown = redact(given) if isinstance(given, str) else given
        if key in _SECRET:
            shown = "***"
        raise ConfigError(source, str(error), shown) from None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        expected = f"a readable TOML file ({error.strerror or error})"
        raise ConfigError("MILLSTREAM_CONFIG", expected, str(path)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("MILLSTREAM_CONFIG", f"valid TOML ({error})", str(path)) from None


def _unknown(source: str, known: tuple[str, ...]) -> ConfigError:
    close = difflib.get_close_matches(source.split(" ", maxsplit=1)[0], known, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return ConfigError(source, f"a setting that exists{hint}", source)


def _variables() -> tuple[str, ...]:
    return tuple(PREFIX + key.upper() for key in _READERS)
