"""`email.send`: one mail through the configured SMTP server (aiosmtplib; extra `email`).

    {"to": "ada@example.org", "subject": "Hello", "text": "…"}

A mail goes to all its recipients or to none, so that a retry cannot reach some of them twice. What
a retry can double is a mail whose acceptance got lost on the way back; its Message-ID is made of
the job's id, the same in every attempt, so that receivers can drop the second.
"""

from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from functools import cache
from typing import Annotated
from uuid import UUID

import msgspec

from ...core import config
from ..context import Context
from ..handlers import job
from ..verdicts import Fail, Retry

try:
    import aiosmtplib
except ModuleNotFoundError:
    raise ImportError("email.send needs aiosmtplib: pip install 'millstream[email]'") from None

_SECONDS = 30.0  # for each step of the conversation with the server

Addresses = list[str] | str


class Mail(msgspec.Struct, forbid_unknown_fields=True, rename={"sender": "from"}):
    """Addresses are `ada@example.org` or `Ada <ada@example.org>`; `from` as configured if absent.

    With `text` and `html` both, readers choose. `bcc` recipients are named in no header.
    """

    to: Addresses
    subject: Annotated[str, msgspec.Meta(max_length=2000)]
    text: str | None = None
    html: str | None = None
    sender: str | None = None
    reply_to: Addresses = []
    cc: Addresses = []
    bcc: Addresses = []


class Sent(msgspec.Struct):
    """What the server took: the mail's Message-ID, its recipients, and the server's words."""

    message_id: str
    recipients: list[str]
    answer: str


@job("email.send", max_attempts=8, timeout=120)
async def email_send(ctx: Context, mail: Mail) -> Sent:
    """Send one mail: refusals with a 4xx code are retried, those with 5xx are final."""
    return await send(_settings(), ctx.job_id, mail)


async def send(settings: config.Settings, job_id: str, mail: Mail) -> Sent:
    """Send `mail` for a job. Raises Fail (no attempt can help) or Retry."""
    sender = _address("from", mail.sender or settings.smtp_from)
    recipients = _recipients(mail)
    message = compose(job_id, sender, mail)
    client = aiosmtplib.SMTP(hostname=settings.smtp_host, port=settings.smtp_port, timeout=_SECONDS)
    try:
        async with client:
            answer = await _converse(client, sender.addr_spec, recipients, message)
    except aiosmtplib.SMTPResponseException as error:
        raise _verdict(error) from error
    except (aiosmtplib.SMTPException, OSError) as error:
        where = f"{settings.smtp_host}:{settings.smtp_port}"
        raise Retry(f"SMTP server {where}: {error or type(error).__name__}") from error
    return Sent(str(message["Message-ID"]), recipients, answer)


def compose(job_id: str, sender: Address, mail: Mail) -> EmailMessage:
    """The message of a job; the same for every attempt, its date included. Raises Fail."""
    if mail.text is None and mail.html is None:
        raise Fail("email.send: expected a text or an html, got neither")
    message = EmailMessage(policy=SMTP)
    message["Message-ID"] = f"<{job_id}@{sender.domain}>"
    message["Date"] = datetime.fromtimestamp((UUID(job_id).int >> 80) / 1000, UTC)
    message["From"] = sender
    for name, given in (("To", mail.to), ("Cc", mail.cc), ("Reply-To", mail.reply_to)):
        addresses = [_address(name.lower(), text) for text in _listed(given)]
        if addresses:
            message[name] = addresses
    message["Subject"] = _one_line("subject", mail.subject)
    if mail.text is not None:
        message.set_content(mail.text)
    if mail.html is not None and mail.text is not None:
        message.add_alternative(mail.html, subtype="html")
        message.set_boundary(f"=_{job_id}")  # else a random one: each attempt would differ
    elif mail.html is not None:
        message.set_content(mail.html, subtype="html")
    return message


async def _converse(
    client: aiosmtplib.SMTP, sender: str, recipients: list[str], message: EmailMessage
) -> str:
    """Nothing is sent before every recipient is accepted. Returns the server's last words."""
    await client.mail(sender)
    refusals: list[aiosmtplib.SMTPResponseException] = []
    for recipient in recipients:
        try:
            await client.rcpt(recipient)
        except aiosmtplib.SMTPResponseException as error:
            if isinstance(error, aiosmtplib.SMTPServerDisconnected) or error.code == 421:
                raise
            refusals.append(error)
    if refusals:
        raise max(refusals, key=lambda refusal: refusal.code)  # a final one decides
    return (await client.data(message.as_bytes())).message


def _verdict(error: aiosmtplib.SMTPResponseException) -> Fail | Retry:
    told = f"SMTP server answered {error.code}: {error.message}"
    if isinstance(error, aiosmtplib.SMTPRecipientRefused):
        told = f"{told} (recipient {error.recipient})"
    return Fail(told) if 500 <= error.code < 600 else Retry(told)


def _recipients(mail: Mail) -> list[str]:
    """Bare addresses of all recipients, each once."""
    given = [("to", mail.to), ("cc", mail.cc), ("bcc", mail.bcc)]
    found = [_address(name, text).addr_spec for name, texts in given for text in _listed(texts)]
    if not found:
        raise Fail("email.send: expected at least one recipient in to, cc or bcc, got none")
    return list(dict.fromkeys(found))


def _listed(addresses: Addresses) -> list[str]:
    return [addresses] if isinstance(addresses, str) else addresses


def _address(field: str, text: str) -> Address:
    """Parsed strictly: one address, and no line break that could start a header of its own."""
    header = SMTP.header_factory("To", _one_line(field, text))
    found = header.addresses
    address = found[0] if len(found) == 1 and not header.defects else None
    if address is None or not address.username or not address.domain:
        given = f"expected one address like ada@example.org, got {text!r}"
        raise Fail(f"email.send: {field}: {given}")
    if not address.addr_spec.isascii():
        raise Fail(f"email.send: {field}: expected an address in ASCII, got {text!r}")
    return address


def _one_line(field: str, text: str) -> str:
    if any(ord(sign) < 32 or ord(sign) == 127 for sign in text):
        raise Fail(f"email.send: {field}: expected text without control characters, got {text!r}")
    return text


@cache
def _settings() -> config.Settings:
    return config.load()
