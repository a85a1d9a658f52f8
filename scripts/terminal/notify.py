"""Notify: a message when a run is finished, fails, or stops at a gate where a person decides.

By a command, mail or a web hook, as section ``notify`` of the config says. A message that cannot be
sent is a remark: no run fails for it. Secrets come from the environment and are in no remark.
"""

from __future__ import annotations

import json
import os
import smtplib
import subprocess
import urllib.error
import urllib.request
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

from scripts.lib import gates

FINISHED, FAILED, GATE = "finished", "failed", "gate"
USER, PASSWORD, WEBHOOK = "SMTP_USER", "SMTP_PASSWORD", "NOTIFY_WEBHOOK"
_WORDS = {FINISHED: "is finished", FAILED: "has failed", GATE: "waits for a person at"}
_MOST_LINES = 60  # of a message; all is in the log

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Message:
    """What is reported: of which volume, what happened, and the last lines of the run."""

    volume: str
    event: str
    lines: Sequence[str]
    rules: Collection[str] = ()  # that failed

    @property
    def subject(self) -> str:
        """Return the message in one line.

        Returns
        -------
        str
            Volume, event, and the first line of what was said; of a gate its name and the cause.
        """
        first, event = self.lines[0] if self.lines else "", _WORDS[self.event]
        if self.event == GATE:  # the line below the one that names the rule
            first = self.lines[1] if first.startswith("✗") and len(self.lines) > 1 else first
            event = f"{event} {' and '.join(map(gates.named, sorted(self.rules))) or 'a gate'}"
        return " ".join(f"{self.volume} {event}: {first}".split())[:200]

    @property
    def text(self) -> str:
        """Return all of the message.

        Returns
        -------
        str
            At most `_MOST_LINES` lines.
        """
        return "\n".join([self.subject, "", *self.lines[:_MOST_LINES]]) + "\n"


def event_of(rules: Collection[str]) -> str:
    """Tell a gate from a failure.

    Parameters
    ----------
    rules
        Names of the rules that failed.

    Returns
    -------
    str
        `GATE` where every one of them is a gate.
    """
    return GATE if gates.are_all(rules) else FAILED


def send(message: Message, section: Config) -> list[str]:
    """Send a message every way that the config asks for.

    Parameters
    ----------
    message
        The message.
    section
        Section ``notify`` of the config, with its defaults.

    Returns
    -------
    list of str
        A remark for each way that did not work.
    """
    if message.event not in section["events"]:
        return []
    remarks = []
    for name, way in _ways(section):
        try:
            way(message)
        except (OSError, ValueError, subprocess.SubprocessError, smtplib.SMTPException) as error:
            remarks.append(f"notify.{name}: the message was not sent ({_why(error)})")
    return remarks


def _ways(section: Config) -> Iterator[tuple[str, Any]]:
    limit_s, hook = section["timeout_s"], os.environ.get(WEBHOOK) or section["webhook"]
    if command := section["command"]:
        yield "command", lambda message: _run(message, command, limit_s)
    if mail := section["email"]:
        yield "email", lambda message: _mail(message, mail, limit_s)
    if hook:
        yield "webhook", lambda message: _post(message, hook, limit_s)


def _why(error: Exception) -> str:
    """Say what went wrong without the address, which may be a secret."""
    if isinstance(error, subprocess.CalledProcessError):
        said = (error.stderr or "").strip().splitlines()
        return f"it ended with status {error.returncode}{f': {said[-1]}' if said else ''}"
    if isinstance(error, subprocess.TimeoutExpired):
        return f"it took longer than notify.timeout_s, {error.timeout:g} s"
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return type(error).__name__ if isinstance(error, ValueError) else str(error)


def _run(message: Message, command: str, limit_s: float) -> None:
    said = {"VOLUME": message.volume, "EVENT": message.event, "SUBJECT": message.subject}
    subprocess.run(  # noqa: S602 - a person wrote it into the config of their own run
        command, shell=True, input=message.text, text=True, timeout=limit_s, check=True,
        env=os.environ | said, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def _mail(message: Message, section: Config, limit_s: float) -> None:
    mail = EmailMessage()
    mail["Subject"], mail["From"] = message.subject, section["sender"]
    mail["To"] = ", ".join(section["to"])
    mail.set_content(message.text)
    with smtplib.SMTP(section["host"], section["port"], timeout=limit_s) as server:
        if section["starttls"]:
            server.starttls()
        if user := os.environ.get(USER):
            server.login(user, os.environ.get(PASSWORD, ""))
        server.send_message(mail)


def _post(message: Message, address: str, limit_s: float) -> None:
    if not address.startswith(("http://", "https://")):
        raise ValueError(WEBHOOK)
    content = {"text": message.text, "volume": message.volume}
    content |= {"event": message.event, "subject": message.subject}
    request = urllib.request.Request(  # noqa: S310 - http or https, see above
        address, json.dumps(content).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=limit_s):  # noqa: S310
        pass
