"""The text of a notice, and its form for each kind of channel."""

import uuid
from dataclasses import asdict, dataclass, field
from datetime import datetime
from email.message import EmailMessage
from email.utils import formatdate

from proto_loc.errors import plain
from proto_loc.fork_file import Channel
from proto_loc.notify.incidents import Incident

SCHEMA = 1
"""Increases when a field of the JSON is removed or changes its meaning."""
TITLES = {
    "refresh": "A run failed",
    "audit": "An audit failed",
    "stale": "Data is stale",
    "service": "A service is down",
    "test": "This is a test",
}


@dataclass(frozen=True)
class Message:
    """A notice of an incident or of its recovery."""

    platform: str
    event: str
    state: str
    """``open``, ``recovered`` or ``test``."""
    incident: str
    """The incident's key; it is the same in the notice of the recovery."""
    what: str
    since: str
    at: str
    link: str
    """A page on the machine of the platform, without a token."""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def subject(self) -> str:
        """One line."""
        title = TITLES[self.event]
        shown = f"Recovered: {title[0].lower()}{title[1:]}" if self.state == "recovered" else title
        return " ".join(plain(f"[{self.platform}] {shown}: {self.what}").split())[:200]

    @property
    def text(self) -> str:
        """The whole notice as lines of text."""
        lines = [self.what, f"Since {self.since}."]
        if self.state == "recovered":
            lines.append(f"Recovered at {self.at}.")
        return plain("\n".join([*lines, f"See {self.link}"]))


def opening(incident: Incident, platform: str, at: str, link: str) -> Message:
    """The notice of a new incident."""
    return Message(
        platform, incident.event, "open", incident.key, incident.what, incident.since, at, link
    )


def recovery(incident: Incident, platform: str, at: str, link: str) -> Message:
    """The notice of a recovery."""
    return Message(
        platform, incident.event, "recovered", incident.key, incident.what, incident.since, at, link
    )


def body(channel: Channel, message: Message) -> dict:
    """The JSON that a webhook gets."""
    if channel.kind == "slack":
        text = f"*{_for_slack(message.subject)}*\n{_for_slack(message.text)}"
        return {"text": text, "unfurl_links": False}
    if channel.kind == "teams":
        lines = [message.subject, *message.text.splitlines()]
        blocks = [{"type": "TextBlock", "text": line, "wrap": True} for line in lines]
        blocks[0] |= {"weight": "Bolder", "size": "Medium"}
        card = {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.4",
            "body": blocks,
        }
        kind = "application/vnd.microsoft.card.adaptive"
        return {"type": "message", "attachments": [{"contentType": kind, "content": card}]}
    return {"schema": SCHEMA, "subject": message.subject, "text": message.text, **asdict(message)}


def _for_slack(text: str) -> str:
    """Escape the three characters with a meaning in Slack's texts."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def mail(channel: Channel, message: Message) -> EmailMessage:
    """The notice as a mail; a repeated delivery has the same Message-ID."""
    letter = EmailMessage()
    letter["Subject"] = message.subject
    letter["From"], letter["To"] = channel.sender, ", ".join(channel.to)
    letter["Date"] = formatdate(datetime.fromisoformat(message.at).timestamp())
    letter["Message-ID"] = f"<{message.id}@{channel.sender.rpartition('@')[2]}>"
    letter["Auto-Submitted"] = "auto-generated"  # so that absence notes do not answer
    letter.set_content(message.text)
    return letter
