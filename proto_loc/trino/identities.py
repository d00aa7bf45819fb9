"""Who may log in to Trino: one identity a service, each with a secret of its own."""

import hashlib
import secrets
import sys
from pathlib import Path

from proto_loc import credentials
from proto_loc.errors import UsageError
from proto_loc.settings import environment_folder

WRITER = "writer"
"""Builds and publishes: the refresh, and the commands of `loc db`."""
DASHBOARDS = "dashboards"
READERS = (DASHBOARDS, "cube", "notebooks", "assistant", "cli")
"""Superset; Cube; kernels; `loc ask`, MCP and discovery; the commands that read."""
ALL = (WRITER, *READERS)
_ITERATIONS = 10_000
"""Trino asks for 1000 or more; each secret is 256 random bits, which no dictionary has."""


def password(identity: str) -> str:
    """Read the password of an identity; generate it first if there is none.

    Raises:
        UsageError: there is no such identity.
        LocError: its secret cannot be read or made.
    """
    if identity not in ALL:
        raise UsageError(
            f"Trino has no identity {identity!r}.", "", f"Choose from: {', '.join(ALL)}."
        )
    return credentials.secret(f"trino-{identity}")


def own() -> str:
    """The identity of a person's code: a kernel's in the environment ``notebooks``."""
    is_kernel = Path(sys.prefix) == environment_folder("notebooks")
    return "notebooks" if is_kernel else "cli"


def ensure() -> None:
    """Make the passwords that are missing.

    Raises:
        LocError: a secret cannot be read or made.
    """
    for identity in ALL:
        password(identity)


def password_file() -> str:
    """The text of the password file of Trino, with salted hashes (PBKDF2)."""
    lines = []
    for identity in ALL:
        salt = secrets.token_bytes(16)
        digest = hashlib.pbkdf2_hmac("sha1", password(identity).encode(), salt, _ITERATIONS, 32)
        lines.append(f"{identity}:{_ITERATIONS}:{salt.hex()}:{digest.hex()}")
    return "\n".join(lines) + "\n"
