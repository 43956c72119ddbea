"""What the demo submits, and what is promised of each job. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

DATA_FILE = "seattle-weather.csv"
DATA_DAYS = 1461
"""Rows of the data set: one per day of 2012 to 2015."""

YEARS = range(2012, 2016)
ROUNDS = 3
MAILS = 100
FLAKY_EVERY = 5
"""Each fifth mail is refused once before it is taken."""

DELAY = 2.0

_MONTH_SQL = f"""
    SELECT count(*) AS days, round(avg(temp_max), 1) AS warm, sum(precipitation) AS rain,
           mode(weather) AS mostly
      FROM '{DATA_FILE}' WHERE year(date) = $year AND month(date) = $month
"""  # noqa: S608 (nothing in it comes from outside)


class Planned(NamedTuple):
    """A job to submit (as the API takes it), how it must end, and after how many attempts.

    `kind` groups jobs for the checks: query, mail, flaky, delayed, bounced, broken, cancelled.
    """

    kind: str
    body: dict[str, Any]
    state: str = "succeeded"
    attempts: int = 1


def plan() -> list[Planned]:
    """All jobs, in the order of their submission."""
    return [*_queries(), *_mails(), *_special()]


def _queries() -> list[Planned]:
    """Each month of the data, several times over: the days of a round add up to all there are."""
    months = [(year, month) for year in YEARS for month in range(1, 13)]
    return [
        Planned("query", _query(_MONTH_SQL, {"year": year, "month": month}))
        for _ in range(ROUNDS)
        for year, month in months
    ]


def _mails() -> list[Planned]:
    return [
        Planned("flaky", _mail(number, "flaky"), attempts=2)
        if number % FLAKY_EVERY == 0
        else Planned("mail", _mail(number, "reader"))
        for number in range(1, MAILS + 1)
    ]


def _special() -> list[Planned]:
    broken = _query(f"SELECT snow_depth FROM '{DATA_FILE}'")  # noqa: S608
    later = _query(f"SELECT count(*) AS days FROM '{DATA_FILE}'")  # noqa: S608
    return [
        Planned("delayed", later | {"delay": DELAY}),
        Planned("broken", broken, "failed"),
        Planned("bounced", _mail(0, "bounce") | {"max_attempts": 3}, "failed", attempts=3),
        Planned("cancelled", later | {"delay": 3600}, "cancelled", attempts=0),
    ]


def _query(sql: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    payload = {"sql": sql} if params is None else {"sql": sql, "params": params}
    return {"type": "data.query", "payload": payload, "tags": ["demo"]}


def _mail(number: int, name: str) -> dict[str, Any]:
    payload = {
        "to": f"{name}{number}@example.org",
        "subject": f"Weather report {number}",
        "text": "Dear reader,\n\nit rained, or it did not.\n",
    }
    backoff = {"kind": "fixed", "delay": 0.3, "jitter": 0}
    return {"type": "email.send", "payload": payload, "backoff": backoff, "tags": ["demo"]}
