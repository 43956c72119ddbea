"""The OpenAPI document is true, and its page needs nothing from elsewhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from litestar.routes import ASGIRoute, HTTPRoute

from millstream.api.openapi import POLICY

from .conftest import Api


def test_every_route_is_in_the_document_and_no_other(shared: Api) -> None:
    document = shared.client.get("/openapi.json").json()
    told = {(path, method) for path, methods in document["paths"].items() for method in methods}
    served: set[tuple[str, str]] = set()
    for route in shared.app.routes:
        path = re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path)
        if isinstance(route, HTTPRoute):
            served |= {(path, m.lower()) for m in route.methods if m != "OPTIONS"}
        elif isinstance(route, ASGIRoute):
            served |= {(path, "get"), (path, "post")}
    pages = {("/docs", "get"), ("/docs/docs.js", "get"), ("/docs/docs.css", "get")}
    assert told == served - pages - {("/openapi.json", "get")}


def test_every_reference_leads_somewhere(shared: Api) -> None:
    response = shared.client.get("/openapi.json")
    document = response.json()
    assert document["openapi"].startswith("3.1")
    schemas = document["components"]["schemas"]
    for name in re.findall(r'"\$ref":\s*"#/components/schemas/([^"]+)"', response.text):
        assert name in schemas
    submission = schemas["Submission"]
    assert submission["additionalProperties"] is False
    assert submission["required"] == ["type"]
    assert set(schemas["JobView"]["required"]) == set(schemas["JobView"]["properties"])


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.found += [value for name in ("src", "href") if (value := given.get(name))]
        self.inline |= tag in ("script", "style") and "src" not in given
        self.inline |= any(name.startswith("on") or name == "style" for name in given)


def test_the_page_is_made_of_our_own_files(shared: Api) -> None:
    response = shared.client.get("/docs")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["content-security-policy"] == POLICY
    assert response.headers["x-content-type-options"] == "nosniff"
    links = Links()
    links.feed(response.text)
    assert not links.inline
    assert links.found
    for address in links.found:
        assert address.startswith("/")
        assert not address.startswith("//")
        found = shared.client.get(address)
        assert found.status_code == 200
        assert not re.search(r"https?://", found.text)
        assert "innerHTML" not in found.text


def _for_a_stranger(api: Api, folder: Path) -> str:
    """The document, but for what this server has not (a replica), for long waits, and for what
    never ends."""
    found = api.client.get("/openapi.json").json()
    schemas = found["components"]["schemas"]
    for name in ("LoneSubmission", "Batch"):
        schemas[name]["properties"]["ack"]["enum"].remove("replicated")
    for parameter in found["paths"]["/api/v1/jobs/{job_id}"]["get"]["parameters"]:
        if parameter["name"] == "wait":
            parameter["schema"]["maximum"] = 2
    del found["paths"]["/api/v1/events/stream"]
    file = folder / "openapi.json"
    file.write_text(json.dumps(found))
    return str(file)


@pytest.mark.slow
def test_no_answer_contradicts_the_document(api: Api, projector: None, tmp_path: Path) -> None:
    """Schemathesis asks each operation, well and badly, and finds no 5xx and no stranger."""
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        *("run", _for_a_stranger(api, tmp_path), "--url", api.url),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", "15", "--seed", "1"),
        *("--checks", "not_a_server_error,status_code_conformance,content_type_conformance"),
        *("--checks", "response_schema_conformance,response_headers_conformance"),
        *("--max-response-time", "15", "--no-color"),
    ]
    environ = os.environ | {"PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, timeout=500)
    assert done.returncode == 0, done.stdout.decode()[-6000:] + done.stderr.decode()[-2000:]
