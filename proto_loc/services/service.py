"""The declaration of a service."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Service:
    """One service; values may contain ``{root}``, ``{run}``, ``{port}`` and ``{socket}``."""

    argv: tuple[str, ...]
    """The command; programs of the service's environment come first in PATH."""
    environment: str = "platform"
    """The Python environment under ``.venvs/`` that the service runs in."""
    engine: str = ""
    """The engine (``LOC_ENGINE``) without which there is no such service; empty: every one."""
    variables: Mapping[str, str] = field(default_factory=dict)
    secret: str = ""
    """The name of the service's secret; ``LOC_SECRET_FILE`` is the path of its file."""
    more_secrets: Mapping[str, str] = field(default_factory=dict)
    """Names of further secrets, by the suffix of their variables ``LOC_SECRET_FILE_...``."""
    login: tuple[str, str] | None = None
    """For ``loc urls``: the account of a person, and the name of the secret with its password."""
    port: str = ""
    """The name of the service's port in :data:`proto_loc.settings.PORTS`."""
    socket: str = ""
    """The name of the Unix socket that the service makes in the run folder."""
    ready: str = ""
    """The name of the file that the service makes in the run folder once it is ready."""
    links: Mapping[str, str] = field(default_factory=dict)
    """For ``loc urls``: the path of each page, by title; it may contain ``{secret}``."""
    prepare: tuple[str, ...] = ()
    """Functions (``MODULE:FUNCTION``) that ``loc prepare`` calls at each start."""

    @property
    def stays(self) -> bool:
        """Whether the service runs until it is stopped; one that exits has no port or socket."""
        return bool(self.port or self.socket or self.ready)
