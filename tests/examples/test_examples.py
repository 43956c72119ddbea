"""Every example is served by a real worker and run through the API, as its text says."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from millstream.core import config
from millstream.core.config import Settings
from millstream.core.embedded import Postgres, Valkey
from millstream.core.embedded.ports import free_port
from tests.cli.roles import running
from tests.consumers.builtin.mailbox import Mailbox

EXAMPLES = Path(__file__).parents[2] / "examples"
WEATHER = EXAMPLES / "data" / "seattle-weather.csv"

Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def mailbox() -> Iterator[Mailbox]:
    with Mailbox() as box:
        yield box


@pytest.fixture(scope="module")
def run(
    valkey_server: Valkey,
    postgres_server: Postgres,
    migrated_template: str,
    mailbox: Mailbox,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Run]:
    """Submit a job to the examples' worker and wait for its end."""
    valkey_server.start()
    postgres_server.start()
    postgres_server.execute(f"CREATE DATABASE examples TEMPLATE {migrated_template}")
    given: dict[str, object] = {
        "redis_url": valkey_server.url,
        "postgres_dsn": postgres_server.dsn_of("examples"),
        "namespace": "examples",
        "port": free_port(),
        "sweep": 0.2,
        "smtp_port": mailbox.port,
    }
    settings = config.override(Settings(), given)
    apps = [str(EXAMPLES / name) for name in ("handlers.py", "first_handler.py")]
    with (
        running(settings, tmp_path_factory.mktemp("roles"), *apps),
        httpx2.Client(base_url=f"http://127.0.0.1:{settings.port}/api/v1", timeout=40) as client,
    ):

        def submit_and_wait(type_: str, payload: object) -> dict[str, Any]:
            answer = client.post("/jobs", json={"type": type_, "payload": payload})
            assert answer.status_code == 201, answer.text
            found = client.get(f"/jobs/{answer.json()['id']}", params={"wait": 30})
            assert found.status_code == 200, found.text
            return found.json()

        yield submit_and_wait
    postgres_server.execute("DROP DATABASE examples WITH (FORCE)")


def test_the_first_handler_greets(run: Run) -> None:
    job = run("greet", {"name": "Ada"})
    assert (job["state"], job["result"]) == ("succeeded", "Hello, Ada!")


def test_hello_is_async_and_has_defaults(run: Run) -> None:
    assert run("hello", {"name": "Ada", "after": 0.05})["result"] == {"message": "Hello, Ada!"}
    assert run("hello", {})["result"] == {"message": "Hello, world!"}


@pytest.mark.parametrize(("below", "count"), [(0, 0), (2, 0), (3, 1), (100, 25), (100_000, 9592)])
def test_primes_is_a_plain_function(run: Run, below: int, count: int) -> None:
    assert run("primes", below)["result"] == count


def test_primes_refuses_too_much_for_good(run: Run) -> None:
    job = run("primes", 10_000_001)
    assert (job["state"], job["attempt"]) == ("failed", 1)


def test_flaky_succeeds_after_its_failures(run: Run) -> None:
    job = run("flaky", {"failures": 2})
    assert (job["state"], job["attempt"]) == ("succeeded", 3)
    assert job["result"] == "succeeded at attempt 3"


def test_the_query_of_the_docstring(run: Run) -> None:
    with WEATHER.open() as file:
        hot = [row for row in csv.DictReader(file) if float(row["temp_max"]) > 35]
    job = run("data.query", {"sql": "FROM 'seattle-weather.csv' WHERE temp_max > 35"})
    assert job["state"] == "succeeded", job["error"]
    assert job["result"]["row_count"] == len(hot) > 0
    assert job["result"]["columns"][0] == "date"


def test_a_mail_is_sent_by_a_job(run: Run, mailbox: Mailbox) -> None:
    mail = {"to": "ada@example.org", "subject": "Hello", "text": "Hi"}
    job = run("email.send", mail)
    assert job["state"] == "succeeded", job["error"]
    (message,) = mailbox.messages
    assert message["Message-ID"] == f"<{job['id']}@localhost>"


def test_the_data_set_is_what_its_note_says() -> None:
    with WEATHER.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 1461
    assert (rows[0]["date"], rows[-1]["date"]) == ("2012/01/01", "2015/12/31")
    note = (EXAMPLES / "data" / "README.md").read_text()
    for word in ("NOAA", "public domain", "1,461", *rows[0]):
        assert word in note
