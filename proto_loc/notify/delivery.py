"""Sends a notice by webhook or mail. A failure names neither the URL nor the answer's text."""

import logging
import smtplib
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx
import tenacity

from proto_loc import credentials
from proto_loc.errors import LocError
from proto_loc.fork_file import LOOPBACK, Channel
from proto_loc.notify import messages
from proto_loc.notify.messages import Message
from proto_loc.notify.outbox import Box

log = logging.getLogger("proto_loc.notify")
TRIES = 3
"""Tries of a round."""
PAUSE = 0.5
"""Seconds after the first try; later pauses are longer."""
TIMEOUT = 10.0
"""Seconds that a server may take to answer."""
TEMPORARY = (408, 425, 429, 500, 502, 503, 504)
"""HTTP statuses after which another try may succeed."""


class NotSent(LocError):
    """A notice was not delivered."""


class TryAgain(NotSent):
    """A notice was not delivered, and the next try may succeed."""


def send(channel: Channel, message: Message) -> None:
    """Deliver a notice, in up to :data:`TRIES` tries.

    Raises:
        NotSent: the server refused it or did not answer, or the notice could not be sent.
        LocError: the channel's secret is missing, or is not usable.
    """
    try:
        _send(channel, message)
    except LocError:
        raise
    except Exception as error:  # whatever a library raises; its text may have the secret
        raise NotSent(_failed(channel), f"{type(error).__name__}.") from None


def _send(channel: Channel, message: Message) -> None:
    deliver = _by_mail(channel) if channel.kind == "smtp" else _by_webhook(channel)
    patient = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(TryAgain),
        stop=tenacity.stop_after_attempt(TRIES),
        wait=tenacity.wait_exponential_jitter(multiplier=PAUSE, max=5, jitter=PAUSE),
        reraise=True,
    )
    patient(deliver, message)


def round_of(channel: Channel, box: Box, saved: Callable[[], None]) -> None:
    """Deliver what waits for a channel, in order, up to the first failure.

    Args:
        saved: called after each delivery, so that a killed process repeats at most one.
    """
    while box.waiting:
        try:
            send(channel, box.waiting[0])
        except LocError as error:
            now = time.time()
            at = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
            box.note_failure(f"{error.what} {error.why}".strip(), at, now)
            return
        box.note_success()
        saved()


def deliver(channels: list[tuple[Channel, Box]], saved: Callable[[], None]) -> None:
    """Run the rounds that are due, all channels at a time, so that none waits for a dead one."""
    lock = threading.Lock()

    def save() -> None:
        with lock:
            saved()

    due = [(channel, box) for channel, box in channels if box.next_round <= time.time()]
    with ThreadPoolExecutor(max(1, len(due))) as pool:
        list(pool.map(lambda pair: round_of(*pair, save), due))


def _by_webhook(channel: Channel) -> Callable[[Message], None]:
    url = credentials.given(channel.secret)
    if not _is_usable(url):
        raise LocError(
            f"The secret {channel.secret} is not usable.",
            "It must be a URL that starts with https://, as it is a secret on its way, too.",
            "Copy the URL that the service shows for its webhook.",
        )

    def post(message: Message) -> None:
        try:
            answer = httpx.post(url, json=messages.body(channel, message), timeout=TIMEOUT)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise TryAgain(_failed(channel), f"{type(error).__name__}.") from None
        if not answer.is_success:
            kind = TryAgain if answer.status_code in TEMPORARY else NotSent
            raise kind(_failed(channel), f"The server answered {answer.status_code}.")

    return post


def _is_usable(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:  # for example a bracket without its other one
        return False
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    )


def _by_mail(channel: Channel) -> Callable[[Message], None]:
    password = credentials.given(channel.secret) if channel.user else ""

    def post(message: Message) -> None:
        context = ssl.create_default_context()
        connect = smtplib.SMTP_SSL if channel.security == "tls" else smtplib.SMTP
        options = {"context": context} if channel.security == "tls" else {}
        try:
            with connect(channel.host, channel.port, timeout=TIMEOUT, **options) as server:
                if channel.security == "starttls":
                    server.starttls(context=context)
                if channel.user:
                    server.login(channel.user, password)
                if refused := server.send_message(messages.mail(channel, message)):
                    log.warning("%s: the server refused %s", channel.name, ", ".join(refused))
        except (OSError, smtplib.SMTPException) as error:
            # A refusal may repeat what was sent, so only its number is shown.
            code = getattr(error, "smtp_code", 0)
            final = isinstance(code, int) and code >= 500
            why = f"{type(error).__name__}{f' {code}' if code else ''}."
            raise (NotSent if final else TryAgain)(_failed(channel), why) from None

    return post


def _failed(channel: Channel) -> str:
    return f"The channel {channel.name} did not take a notice."
