"""Rules for which requests a server of this machine answers.

It answers those for its own names that no foreign page has sent.

A page of another site that is open in the same browser can reach 127.0.0.1 too, and a name of
another site can be bound to 127.0.0.1. Only the standard library is imported.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

from proto_loc.settings import origin

HOSTS = ("127.0.0.1", "localhost")
MAX_HEAD = 64 << 10
"""Bytes of a request's line and headers that a server of ours takes."""
MAX_BODY = 16 << 20
"""Bytes of a request's body that a server of ours takes, from who has logged in."""
MAX_STRANGERS_BODY = 64 << 10
"""The same from anyone."""
PATIENCE_HEAD, PATIENCE_BODY = 10.0, 60.0
"""Seconds in which a request's head, and then its body, must have come."""


def too_large(limit: int = MAX_BODY) -> str:
    """What the sender of a larger body is told."""
    return f"The request is too large: a body may have {limit >> 10:,} KiB here."


class Origins:
    """What is this machine's own.

    Args:
        port: where the server listens.
        address: the address under which a proxy serves it, such as ``https://bi.example.org``; none
            by default.
    """

    def __init__(self, port: int, address: str = "") -> None:
        self.own = (
            {f"http://{host}:{port}" for host in HOSTS}
            | {origin(port)}
            | ({address} if address else set())
        )
        self.hosts = {urlsplit(own).hostname for own in self.own}
        self.forwarded = urlsplit(address or origin(port)).scheme == "https"
        """Whether browsers reach it by HTTPS, through a proxy."""

    def refusal(
        self, hosts: Sequence[str], *, sender: str | None, site: str | None, mode: str | None
    ) -> tuple[int, str] | None:
        """The status and text for a request that is refused; None for one that may be answered.

        Args:
            hosts: every ``Host`` header.
            sender: ``Origin``: browsers say which page sent a request, and no page can change that.
            site: ``Sec-Fetch-Site``. Programs send neither.
            mode: ``Sec-Fetch-Mode``. A link on another page may lead here (``navigate``), since it
                can read nothing of
                what it opens.
        """
        if len(hosts) != 1 or _hostname(hosts[0]) not in self.hosts:
            return 400, f"This server answers to {', '.join(sorted(self.hosts))} only."
        if sender is not None and sender not in self.own:
            return 403, "Pages of other sites may not call this server."
        if (site or "none") not in ("none", "same-origin") and mode != "navigate":
            return 403, "Pages of other sites may not call this server."
        return None


def _hostname(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
