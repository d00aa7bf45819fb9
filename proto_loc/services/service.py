"""The declaration of a service."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Service:
    """One service; its texts may hold ``{root}``, ``{run}``, ``{port}`` and ``{socket}``."""

    argv: tuple[str, ...]
    """Its command; programs of its environment come first."""
    environment: str = "platform"
    """The environment under ``.venvs/`` that it runs in."""
    variables: Mapping[str, str] = field(default_factory=dict)
    secret: str = ""
    """The name of its own secret; the path of that file is in ``LOC_SECRET_FILE``."""
    more_secrets: Mapping[str, str] = field(default_factory=dict)
    """Further secrets of its own, by the end of their ``LOC_SECRET_FILE_...``."""
    login: tuple[str, str] | None = None
    """For ``loc urls``: a person's account, and the secret that is its password."""
    port: str = ""
    """Its name in :data:`proto_loc.settings.PORTS`."""
    socket: str = ""
    """The name of the Unix socket that it makes in the run folder."""
    ready: str = ""
    """The name of the file that it makes in the run folder once it is ready."""
    links: Mapping[str, str] = field(default_factory=dict)
    """For ``loc urls``: the path of each page, by title; it may hold ``{secret}``."""
    prepare: tuple[str, ...] = ()
    """Functions (``MODULE:FUNCTION``) that ``loc prepare`` calls at each start; each sees by itself
    whether there is work.
    """

    @property
    def stays(self) -> bool:
        """Whether the service stays up: then others see it by its port, socket or file."""
        return bool(self.port or self.socket or self.ready)
