"""Mail by SMTP: a text and an HTML part; all mails of an incident are one thread."""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
from collections.abc import Mapping
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import Any

from alerts import message as messages
from alerts.channels.kind import ALL, ANSWER, ChannelKind, NotSent, Sent, unreachable, within
from alerts.message import Message
from connections import tls
from connections.guard import Refused
from connections.kind import Field, Kind
from connections.link import Link
from errors import Invalid

STARTTLS, TLS, NONE = "starttls", "tls", "none"
MOST = 50


class _Smtp(smtplib.SMTP):
    """smtplib over a socket that the guard opened."""

    def __init__(self, link: Link, context: ssl.SSLContext | None) -> None:
        self._link, self._context = link, context
        super().__init__(str(link.fields["host"]), int(link.fields["port"]), timeout=ANSWER)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        made = self._link.guard.connect(host, port, timeout)
        return self._context.wrap_socket(made, server_hostname=host) if self._context else made


def send(link: Link, m: Message, id_: str, before: Mapping[str, Any] | None) -> Sent:
    mail = compose(link.fields, m, id_, before)
    reference = {"message_id": mail["Message-ID"], "first": (before or {}).get("first") or mail["Message-ID"]}
    to = recipients(link.fields["to"])
    with within(link, ALL) as timed:
        try:
            refused = _deliver(timed, mail, to)
        except (smtplib.SMTPException, OSError, Refused) as e:
            raise _why(link, e) from None
    taken = [a for a in to if a not in refused]
    answer = f"taken for {', '.join(taken)}"
    if refused:
        answer += "; refused: " + ", ".join(f"{a} ({_words(*said)})" for a, said in refused.items())
    return Sent(link.hide(answer), reference)


def _deliver(link: Link, mail: EmailMessage, to: list[str]) -> dict[str, tuple[int, bytes]]:
    how = link.fields.get("security", STARTTLS)
    context = None if how == NONE else tls.context(link)
    server = _Smtp(link, context if how == TLS else None)
    try:
        server.ehlo()
        if how == STARTTLS:
            if not server.has_extn("starttls"):
                raise NotSent(
                    "the mail server offers no STARTTLS",
                    hint="choose TLS from the start, or none",
                    again=False,
                )
            server.starttls(context=context)
            server.ehlo()
        user = link.get("username")
        if user:
            server.login(str(user), link.secret.get("password", ""))
        return server.send_message(mail, str(parseaddr(link.fields["from"])[1]), to)
    finally:
        server.close()


def compose(
    fields: Mapping[str, Any], m: Message, id_: str, before: Mapping[str, Any] | None
) -> EmailMessage:
    """The mail. Its Message-ID comes from the notification's, so a repetition is known as one."""
    domain = parseaddr(str(fields["from"]))[1].rpartition("@")[2] or "dlv.invalid"
    mail = EmailMessage()
    follows = before and before.get("message_id")
    mail["Subject"] = ("Re: " if follows else "") + messages.subject(m)
    mail["From"] = str(fields["from"])
    mail["To"] = ", ".join(recipients(fields["to"]))
    mail["Date"] = format_datetime(messages.when(m.decided_at)) if m.decided_at else None
    mail["Message-ID"] = f"<{id_}@{domain}>"
    if follows and before:
        first = str(before.get("first") or before["message_id"])
        mail["In-Reply-To"] = str(before["message_id"])
        mail["References"] = first if first == before["message_id"] else f"{first} {before['message_id']}"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-DLV-Event"] = m.event
    if m.severity == 1 and m.loud and m.event in ("trigger", "update", "remind"):
        mail["Importance"] = "high"
    mail.set_content(messages.text(m))
    mail.add_alternative(messages.as_html(m), subtype="html")
    return mail


def recipients(text: str) -> list[str]:
    return [a for a in re.split(r"[\s,;]+", text) if a]


def _why(link: Link, e: Exception) -> NotSent:
    who = "the mail server"
    if isinstance(e, smtplib.SMTPAuthenticationError):
        hint = "write user and password again; some servers want a password for apps"
        return NotSent(
            f"{who} does not know the sign-in ({_words(e.smtp_code, e.smtp_error)})",
            hint=hint,
            again=_passes(e.smtp_code),
        )
    if isinstance(e, smtplib.SMTPNotSupportedError):
        return NotSent(
            f"{who} takes no sign-in here", hint="choose STARTTLS or TLS, or leave the user out", again=False
        )
    if isinstance(e, smtplib.SMTPRecipientsRefused):
        said = "; ".join(f"{a}: {_words(*why)}" for a, why in e.recipients.items())
        again = any(_passes(code) for code, _ in e.recipients.values())
        return NotSent(
            f"{who} refuses every recipient ({said[:300]})",
            hint="check the addresses, and whether it wants a sign-in",
            again=again,
        )
    if isinstance(e, smtplib.SMTPSenderRefused):
        return NotSent(
            f"{who} refuses the sender ({_words(e.smtp_code, e.smtp_error)})",
            hint="check the sender's address, and whether it wants a sign-in",
            again=_passes(e.smtp_code),
        )
    if isinstance(e, smtplib.SMTPResponseException):
        return NotSent(
            f"{who} says {link.hide(_words(e.smtp_code, e.smtp_error))}", again=_passes(e.smtp_code)
        )
    if isinstance(e, ssl.SSLCertVerificationError):
        return NotSent(
            f"{who}'s certificate is not trusted: {e.verify_message}",
            hint="give the CA's certificate in the channel's form, or the name that the certificate bears",
        )
    if isinstance(e, ssl.SSLError):
        return NotSent(
            f"{who} speaks no TLS here ({e.reason or type(e).__name__})",
            hint="choose STARTTLS for port 587, TLS for port 465",
            again=False,
        )
    return unreachable(link, e, who)  # fmt: skip


def _passes(code: int) -> bool:
    """4xx passes by itself, 5xx does not; a server that breaks off says -1."""
    return not 500 <= code < 600


def _words(code: int, said: bytes | str) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    return f"{code} {' '.join(text.split())}"[:200]


def check(fields: Mapping[str, Any], secrets: Mapping[str, Any]) -> None:
    sender = str(fields.get("from") or "")
    if not re.fullmatch(r"[^@\s<>]+@[^@\s<>]+", parseaddr(sender)[1]):
        raise Invalid(f"{sender[:80]!r} is no mail address", field="from", hint="DLV <dlv@example.com>")
    to = recipients(str(fields.get("to") or ""))
    if not 1 <= len(to) <= MOST:
        raise Invalid(f"1 to {MOST} recipients", field="to")
    for one in to:
        if not re.fullmatch(r"[^@\s<>\"]+@[^@\s<>\"]+", one) or not one.isascii():
            raise Invalid(f"{one[:80]!r} is no mail address", field="to", hint="one a line: name@host")
    if secrets.get("password") and fields.get("security") == NONE:
        raise Invalid(
            "a password is not sent without TLS", field="security", hint="choose STARTTLS or TLS, or leave the sign-in out"
        )  # fmt: skip


def hears(fields: Mapping[str, Any], event: str, loud: bool) -> bool:
    """A mail cannot be edited: only what people are to notice is sent."""
    return loud


KIND = ChannelKind(
    Kind(
        "email",
        "Mail",
        "Mail by your SMTP server",
        (
            Field("to", "To", "area", required=True, help="One address a line", example="data-oncall@example.com"),
            Field("from", "From", required=True, example="DLV <dlv@example.com>"),
            Field("host", "SMTP server", "host", required=True, binds=True, example="smtp.example.com"),
            Field("port", "Port", "port", default=587, binds=True),
            Field("security", "Security", "choice", default=STARTTLS, binds=True, choices=((STARTTLS, "STARTTLS (port 587)"), (TLS, "TLS from the start (port 465)"), (NONE, "None: readable on the way"))),
            Field("username", "User", binds=True, help="Empty: the server wants no sign-in"),
            Field("password", "Password", secret=True),
            Field("ca", "CA certificate", "pem", binds=True, help="PEM, where the server's certificate is your own"),
        ),
        lambda link, ladder: "",
    ),
    send,
    hears,
    "Sends what people are to notice: the beginning, a severity that rises, reminders, the end. One incident is one thread.",
    private=True,
    check=check,
)  # fmt: skip
