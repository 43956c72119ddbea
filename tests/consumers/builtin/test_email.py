"""email.send against a real SMTP server: what arrives, what is retried, what is refused."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

import msgspec
import pytest

from millstream.consumers import Fail, Retry
from millstream.consumers.builtin.email import Mail, compose, send
from millstream.core.config import Settings
from millstream.core.ids import new_id

from .mailbox import Mailbox

JOB = new_id("default")


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with Mailbox() as box:
        yield box


@pytest.fixture
def smtp(mailbox: Mailbox) -> Settings:
    return Settings(smtp_host="127.0.0.1", smtp_port=mailbox.port, smtp_from="ms@example.org")


def mail(**given: object) -> Mail:
    base: dict[str, object] = {"to": "ada@example.org", "subject": "Hello", "text": "Hi\n"}
    return msgspec.convert(base | given, type=Mail)


async def test_a_mail_arrives_as_it_was_meant(smtp: Settings, mailbox: Mailbox) -> None:
    sent = await send(
        smtp,
        JOB,
        mail(
            to=["Ada Lovelace <ada@example.org>", "bob@example.org"],
            subject="Grüße – ☂",
            text="Es regnet.\n",
            html="<p>Es <b>regnet</b>.</p>\n",
            cc="cy@example.org",
            bcc=["dee@example.org", "ada@example.org"],
            reply_to="desk@example.org",
        )
    )  # fmt: skip
    (message,) = mailbox.messages
    assert message["Subject"] == "Grüße – ☂"
    assert message["From"] == "ms@example.org"
    assert message["To"] == "Ada Lovelace <ada@example.org>, bob@example.org"
    assert message["Cc"] == "cy@example.org"
    assert message["Reply-To"] == "desk@example.org"
    assert message["Bcc"] is None
    assert "dee@example.org" not in message.as_string()
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content() == "Es regnet.\r\n"
    assert "<b>regnet</b>" in html.get_content()
    everyone = ["ada@example.org", "bob@example.org", "cy@example.org", "dee@example.org"]
    assert mailbox.envelopes == [("ms@example.org", everyone)]
    assert sent.recipients == everyone
    assert sent.message_id == message["Message-ID"] == f"<{JOB}@example.org>"
    assert "kept" in sent.answer
    assert msgspec.json.decode(msgspec.json.encode(sent))["message_id"] == sent.message_id


async def test_every_attempt_of_a_job_is_the_same_message(smtp: Settings, mailbox: Mailbox) -> None:
    for job in (JOB, JOB, new_id("default")):
        await send(smtp, job, mail(html="<p>Hi</p>"))
    first, second, other = mailbox.messages
    assert first.as_bytes() == second.as_bytes()
    assert other["Message-ID"] != first["Message-ID"]


async def test_the_sender_can_be_named(smtp: Settings, mailbox: Mailbox) -> None:
    await send(smtp, JOB, mail(**{"from": "Shop <shop@example.net>"}))
    assert mailbox.messages[0]["From"] == "Shop <shop@example.net>"
    assert mailbox.envelopes[0][0] == "shop@example.net"


async def test_a_passing_refusal_is_retried(smtp: Settings, mailbox: Mailbox) -> None:
    mailbox.refusals["ada@example.org"] = ["451 come back later"]
    mailbox.data_answers = ["452 disk full"]
    for told in ("451: come back later.*ada@example.org", "452: disk full"):
        with pytest.raises(Retry, match=told):
            await send(smtp, JOB, mail())
    await send(smtp, JOB, mail())
    assert len(mailbox.messages) == 1


async def test_a_final_refusal_fails_the_job(smtp: Settings, mailbox: Mailbox) -> None:
    mailbox.refusals["ada@example.org"] = ["550 no such user"]
    with pytest.raises(Fail, match=r"550: no such user \(recipient ada@example.org\)"):
        await send(smtp, JOB, mail())
    mailbox.data_answers = ["554 looks like spam"]
    with pytest.raises(Fail, match="554: looks like spam"):
        await send(smtp, JOB, mail())


async def test_all_recipients_or_none(smtp: Settings, mailbox: Mailbox) -> None:
    to = ["ada@example.org", "bob@example.org", "cy@example.org"]
    mailbox.refusals = {"bob@example.org": ["451 later", "451 later"], "cy@example.org": ["550 no"]}
    with pytest.raises(Fail, match="550"):
        await send(smtp, JOB, mail(to=to))
    with pytest.raises(Retry, match="451"):
        await send(smtp, JOB, mail(to=to))
    assert mailbox.messages == []
    await send(smtp, JOB, mail(to=to))
    assert mailbox.envelopes == [("ms@example.org", to)]


async def test_a_server_that_is_away_is_tried_again() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(Retry, match=f"SMTP server 127.0.0.1:{port}"):
            await send(Settings(smtp_host="127.0.0.1", smtp_port=port), JOB, mail())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"subject": "Hi\r\nBcc: eve@example.org"}, "subject: expected text without control"),
        ({"subject": "Hi\nX: y"}, "subject"),
        ({"to": "ada@example.org\r\nBcc: eve@example.org"}, "to: expected text without control"),
        ({"to": "ada@example.org>\r\nDATA"}, "to"),
        ({"to": ["ada@example.org, eve@example.org"]}, "to: expected one address"),
        ({"to": "ada"}, "to: expected one address"),
        ({"to": ""}, "to: expected one address"),
        ({"to": []}, "at least one recipient"),
        ({"cc": "Eve\n <eve@example.org>"}, "cc"),
        ({"bcc": "eve@example.org\nX: y"}, "bcc"),
        ({"reply_to": "a@b.c\r\nX: y"}, "reply-to"),
        ({"from": "a@b.c\r\nX: y"}, "from"),
        ({"text": None}, "expected a text or an html, got neither"),
    ],
)
async def test_what_cannot_be_a_mail_is_refused(
    smtp: Settings, mailbox: Mailbox, given: dict[str, object], said: str
) -> None:
    with pytest.raises(Fail, match=said):
        await send(smtp, JOB, mail(**given))
    assert mailbox.messages == []


async def test_dots_and_header_like_lines_in_the_text_stay_text(
    smtp: Settings, mailbox: Mailbox
) -> None:
    text = "one\n.\n..two\nBcc: eve@example.org\n\nRCPT TO:<eve@example.org>\n"
    await send(smtp, JOB, mail(text=text))
    assert mailbox.messages[0].get_content() == text.replace("\n", "\r\n")
    assert len(mailbox.envelopes) == 1


def test_the_payload_is_strict() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field `too`"):
        mail(too="x")
    with pytest.raises(msgspec.ValidationError, match=r"\$.subject"):
        mail(subject=3)


def test_the_date_is_that_of_the_submission() -> None:
    from email.headerregistry import Address

    message = compose("0190163d-8694-739b-aea5-966c26f8ad91", Address(addr_spec="a@b.c"), mail())
    assert message["Date"].datetime.isoformat().startswith("2024-06-14T")


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [("email", "aiosmtplib", "millstream[email]"), ("data", "duckdb", "millstream[data]")],
)
def test_a_missing_extra_is_named(module: str, package: str, extra: str) -> None:
    program = (
        "import importlib.util as u, sys; found = u.find_spec\n"
        f"u.find_spec = lambda name, *rest: None if name == {package!r} else found(name, *rest)\n"
        f"sys.modules[{package!r}] = None\n"
        f"import millstream.consumers.builtin.{module}"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.strip().endswith(f"pip install '{extra}'")
