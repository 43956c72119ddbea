"""`millstream subjects`: erase what is sealed for a person that jobs are about."""

from __future__ import annotations

import rich_click as click

from .choices import by_options
from .client import Api, url_option
from .output import print_json


@click.group("subjects")
def command() -> None:
    """Persons that jobs are about (their `subject`), and their right to be forgotten.

    \b
    millstream subjects erase customer-4711 --reason 'she asked us to'
    """


@command.command("erase")
@click.argument("subject")
@by_options
@url_option
def erase(subject: str, url: str, actor: str, reason: str) -> None:
    """Make unreadable, for good, what was sealed for SUBJECT: payloads, results and errors.

    \b
    millstream subjects erase customer-4711 --reason 'she asked us to'
    """
    body = {"subject": subject, "actor": actor, "reason": reason}
    print_json(Api(url).post("/subjects/erase", body))
