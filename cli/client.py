"""The API as the client commands use it: one address, clear errors, and exit codes for scripts."""

from __future__ import annotations

import ipaddress
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import httpx2
import msgspec
import rich_click as click

REFUSED = 2  # the request was understood and not accepted
TIMEOUT = 3
UNREACHABLE = 4

_CALL_SECONDS = 30.0
_LONGEST_WAIT = 30.0  # of one request; a longer wait is several

TERMINAL = frozenset({"succeeded", "failed", "cancelled"})

Command = Callable[..., None]

url_option: Callable[[Command], Command] = click.option(
    "--url",
    envvar="MILLSTREAM_URL",
    default="http://127.0.0.1:8000",
    show_default=True,
    show_envvar=True,
    help="Where the API is.",
)


def fail(message: str, code: int) -> NoReturn:
    """End the command: the message on stderr, the code for scripts."""
    print(f"millstream: {message}", file=sys.stderr)
    sys.exit(code)


class _State(msgspec.Struct):
    state: str


class Api:
    """Calls end the command with REFUSED or UNREACHABLE when they do not succeed."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        try:
            parsed = httpx2.URL(self.url)
        except httpx2.InvalidURL as error:
            fail(f"--url: expected an address such as http://127.0.0.1:8000, got {url} ({error})",
                 REFUSED)  # fmt: skip
        if parsed.scheme not in ("http", "https") or not parsed.host:
            fail(f"--url: expected an address such as http://127.0.0.1:8000, got {url}", REFUSED)
        self._client = httpx2.Client(
            base_url=f"{self.url}/api/v1",
            timeout=_CALL_SECONDS,
            trust_env=not _is_here(parsed.host),  # no proxy stands before this machine
        )

    def get(self, path: str, timeout: float = _CALL_SECONDS, **query: object) -> bytes:
        """The answer (JSON); query parameters that are None or empty are left out."""
        return self._call("GET", path, params=_said(query), timeout=timeout)

    def post(
        self, path: str, body: object, headers: Mapping[str, str] | None = None, **query: object
    ) -> bytes:
        """Send `body` as JSON; the answer (JSON)."""
        return self._send("POST", path, body, query, headers)

    def patch(self, path: str, body: object, **query: object) -> bytes:
        """Send what is to be changed as JSON; the answer (JSON)."""
        return self._send("PATCH", path, body, query)

    def delete(self, path: str, **query: object) -> bytes:
        """Delete what is there; the answer (JSON)."""
        return self._call("DELETE", path, params=_said(query))

    def wait(self, job: str, seconds: float) -> tuple[bytes, str]:
        """The job (JSON) and its state; waits up to `seconds` for its end."""
        deadline = time.monotonic() + seconds
        while True:
            left = max(0.0, deadline - time.monotonic())
            part = min(left, _LONGEST_WAIT)
            found = self.get(f"/jobs/{job}", timeout=part + _CALL_SECONDS, wait=round(part, 3))
            state = msgspec.json.decode(found, type=_State).state
            if state in TERMINAL or time.monotonic() >= deadline:
                return found, state

    def _send(
        self, method: str, path: str, body: object, query: Mapping[str, object],
        headers: Mapping[str, str] | None = None,
    ) -> bytes:  # fmt: skip
        sent = {"content-type": "application/json", **(headers or {})}
        content = msgspec.json.encode(body)
        try:
            return self._call(method, path, content=content, headers=sent, params=_said(query))
        except UnicodeEncodeError:
            fail("a header: expected ASCII", REFUSED)

    def _call(self, method: str, path: str, **how: Any) -> bytes:
        try:
            answer = self._client.request(method, path, **how)
        except httpx2.TransportError as error:
            fail(f"{self.url} cannot be reached: {error or type(error).__name__}", UNREACHABLE)
        if not answer.is_success:
            fail(problem_text(answer.status_code, answer.content), _code_of(answer.status_code))
        if answer.headers.get("content-type") != "application/json":
            fail(f"{self.url} does not answer as a Millstream API does", UNREACHABLE)
        return answer.content


def _said(query: Mapping[str, object]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value not in (None, (), "")}


def problem_text(status: int, body: bytes) -> str:
    """Problem details (RFC 9457) for people: what, why, and the path of each fault."""
    try:
        problem = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        return f"the API answered {status} without saying why"
    lines = [f"{problem.get('title', 'refused')} ({status}): {problem.get('detail', '')}"]
    lines += map(_fault_text, problem.get("errors", ()))
    return "\n".join(lines)


def _fault_text(fault: Mapping[str, Any]) -> str:
    where = fault.get("in", "body")
    place = "" if where == "body" else f" ({where})"
    return f"  {fault.get('path', '$')}{place}: {fault.get('message', '')}"


def _code_of(status: int) -> int:
    return UNREACHABLE if status >= 500 else REFUSED


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
