"""/openapi.json, and the page at /docs that shows it, made of our own files alone."""

import importlib.metadata
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import Any

import msgspec
from litestar import get
from litestar.response.base import ASGIResponse

from .operation import Operation
from .operations import OPERATIONS
from .problems import MEDIA_TYPE, ProblemDetails

PREFIX = "/api/v1"
_PATH_PARAMETERS: dict[str, dict[str, Any]] = {
    "job_id": {"type": "string", "format": "uuid"},
    "flow_id": {"type": "string", "format": "uuid"},
    "queue": {"type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,62}$"},
    "position": {"type": "string", "example": "default:1:42"},
    "name": {"type": "string", "pattern": "^[a-zA-Z0-9][a-zA-Z0-9._:-]{0,127}$"},
}
_REF = "#/components/schemas/{name}"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy of the page: nothing from elsewhere, nothing inline."""

_ABOUT = """\
Jobs are submitted here and run by workers. Errors are problem details (RFC 9457) whose `errors`
name the path of each fault. Times are RFC 3339; durations are seconds.
"""


_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same request under the same key is done once.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}


@cache
def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    types = {shape for one in OPERATIONS for shape in (one.answer, one.body) if shape is not None}
    ordered = sorted(types, key=lambda shape: shape.__name__)
    _, components = msgspec.json.schema_components([*ordered, ProblemDetails], ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for one in OPERATIONS:
        paths.setdefault(PREFIX + one.path, {})[one.method] = _operation(one)
    paths["/metrics"] = {"get": _metrics()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Millstream",
            "version": importlib.metadata.version("millstream"),
            "description": _ABOUT,
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in dict.fromkeys(one.tag for one in OPERATIONS)],
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(one: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {"operationId": one.name, "tags": [one.tag], "summary": one.summary}
    given = _path_parameters(one.path) + _query_parameters(one.query)
    if one.keyed:
        given.append(_KEY)
    if given:
        found["parameters"] = given
    if one.body is not None:
        content: dict[str, Any] = {"schema": _ref(one.body)}
        if one.example is not None:
            content["example"] = one.example
        found["requestBody"] = {
            "required": one.body_required,
            "content": {"application/json": content},
        }
    found["responses"] = _responses(one)
    return found


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": schema}
        for name, schema in _PATH_PARAMETERS.items()
        if f"{{{name}}}" in path
    ]


def _query_parameters(shape: type[msgspec.Struct]) -> list[dict[str, Any]]:
    _, components = msgspec.json.schema_components([shape], ref_template=_REF)
    properties = components[shape.__name__].get("properties", {})
    required = components[shape.__name__].get("required", ())
    assert len(components) == 1, "query parameters are plain values"
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "schema": _without_null(found),
            **({"style": "form", "explode": True} if found.get("type") == "array" else {}),
        }
        for name, found in properties.items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter may be left out, but there is no null to be given in an address."""
    found = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    for choice in schema.get("anyOf", ()):
        if choice.get("type") != "null":
            found |= choice
    if schema.get("default") is not None:
        found["default"] = schema["default"]
    return found


def _responses(one: Operation) -> dict[str, Any]:
    good = {"content": {one.media: {"schema": _ref(one.answer)}}}
    found: dict[str, Any] = {}
    for status in (one.status, *one.also):
        found[str(status)] = {"description": HTTPStatus(status).phrase, **good}
    for status in one.problems:
        content = {MEDIA_TYPE: {"schema": _ref(ProblemDetails)}}
        found[str(status)] = {"description": HTTPStatus(status).phrase, "content": content}
    if one.name in ("submitJob", "createSchedule"):
        found["201"]["headers"] = {
            "Location": {"description": "Where it is.", "schema": {"type": "string"}}
        }
    return found


def _ref(shape: type) -> dict[str, str]:
    return {"$ref": _REF.format(name=shape.__name__)}


def _metrics() -> dict[str, Any]:
    content = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "operationId": "getMetrics",
        "tags": ["health"],
        "summary": "Counters for Prometheus",
        "responses": {"200": {"description": "OK", "content": content}},
    }


@get("/openapi.json")
async def openapi_json() -> ASGIResponse:
    """The document."""
    return ASGIResponse(body=msgspec.json.encode(document()), media_type="application/json")


@get("/docs")
async def page() -> ASGIResponse:
    """The page."""
    return _file("docs.html", "text/html")


@get("/docs/docs.js")
async def script() -> ASGIResponse:
    """What the page runs."""
    return _file("docs.js", "text/javascript")


@get("/docs/docs.css")
async def style() -> ASGIResponse:
    """How the page looks."""
    return _file("docs.css", "text/css")


def _file(name: str, media_type: str) -> ASGIResponse:
    headers = {
        "content-security-policy": POLICY,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-cache",
    }
    return ASGIResponse(body=_read(name), media_type=media_type, headers=headers)


@cache
def _read(name: str) -> bytes:
    return (files("millstream.api") / "static" / name).read_bytes()


ROUTES = (openapi_json, page, script, style)
