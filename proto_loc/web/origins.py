"""Checks of ``Host``, ``Origin`` and ``Sec-Fetch-*`` headers for a server on this machine.

A page of another site in the same browser can send requests to 127.0.0.1, and the domain of another
site can resolve to 127.0.0.1 (DNS rebinding). Only the standard library is imported.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

from proto_loc.settings import origin

HOSTS = ("127.0.0.1", "localhost")
MAX_HEAD = 64 << 10
"""Largest request line and headers, in bytes."""
MAX_BODY = 16 << 20
"""Largest request body, in bytes, of a user who is logged in."""
MAX_STRANGERS_BODY = 64 << 10
"""Largest request body, in bytes, of anyone else."""
PATIENCE_HEAD, PATIENCE_BODY = 10.0, 60.0
"""Seconds until the head of a request, and then its body, must have arrived."""
LINGERING = 5.0
"""Seconds in which the rest of a refused body is still read: a hard close could lose the answer."""


def too_large(limit: int = MAX_BODY) -> str:
    """The text of the answer to a request whose body is too large."""
    return f"The request is too large: a body may have {limit >> 10:,} KiB here."


class Origins:
    """The origins that a server accepts as its own.

    Args:
        port: where the server listens.
        address: the URL of a reverse proxy in front of it, such as ``https://bi.example.org``.
    """

    def __init__(self, port: int, address: str = "") -> None:
        self.own = (
            {f"http://{host}:{port}" for host in HOSTS}
            | {origin(port)}
            | ({address} if address else set())
        )
        self.hosts = {urlsplit(own).hostname for own in self.own}
        self.forwarded = urlsplit(address or origin(port)).scheme == "https"
        """Whether browsers reach the server through a reverse proxy with HTTPS."""

    def refusal(
        self, hosts: Sequence[str], *, sender: str | None, site: str | None, mode: str | None
    ) -> tuple[int, str] | None:
        """The status and text that refuse a request; None if the request is allowed.

        Args:
            hosts: every ``Host`` header.
            sender: ``Origin``, which a browser sets and a page cannot change.
            site: ``Sec-Fetch-Site``, likewise. Programs send neither.
            mode: ``Sec-Fetch-Mode``. A page of another site may link here (``navigate``), since it
                cannot read the page that it opens.
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
