"""Secrets, generated once or given by a person, in files that only this user can read."""

import errno
import os
import re
import secrets
from pathlib import Path

from proto_loc import files
from proto_loc.errors import LocError
from proto_loc.settings import private_folder, settings


def path(name: str) -> Path:
    """``.run/secrets/NAME``."""
    return settings().run / "secrets" / name


def secret(name: str) -> str:
    """Read a secret; generate it first if there is none (256 random bits as 43 characters).

    Raises:
        LocError: the file is empty, readable by others, or cannot be read or made.
    """
    return _read(name, f"Remove {path(name)}: a new one is made.", make=True)


def given(name: str) -> str:
    """Read a secret that a person has from elsewhere, such as a password or an API token.

    It is in the environment variable of that name, in capitals and with underscores (``SHOP_DSN``
    for ``shop-dsn``), else in its file.

    Raises:
        LocError: it is in neither, or the file is empty, readable by others, or cannot be read.
    """
    variable = re.sub(r"\W", "_", name).upper()
    if text := os.environ.get(variable, "").strip():
        return text
    file = path(name)
    if not file.exists():
        raise LocError(
            f"The secret {name} is missing.",
            f"{file} does not exist, and {variable} is not set.",
            f"Write it to that file: (umask 077; cat > {file}), then end with Ctrl-D.",
        )
    return _read(name, f"Write the secret to {file}.")


def stored(name: str) -> str:
    """Read a secret that exists.

    Raises:
        LocError: the file is missing, empty, readable by others, or cannot be read.
    """
    return _read(name, f"Write the secret to {path(name)}, or remove that file.")


def keep(name: str, text: str) -> Path:
    """Write a secret that a person has given to its file, and return the path.

    Raises:
        OSError: the file cannot be written.
    """
    private_folder(path(name).parent)
    files.replace(path(name), text.strip() + "\n", private=True)
    return path(name)


def _read(name: str, fix: str, make: bool = False) -> str:
    file = path(name)
    try:
        private_folder(file.parent)
        if make and not file.exists():
            _make(file)
        text, mode = file.read_bytes().decode().strip(), file.stat().st_mode & 0o077
    except UnicodeDecodeError as error:
        raise LocError(f"The secret {name} is not text.", f"{file}: {error}.", fix) from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise LocError(
            f"The secret {name} cannot be read or made.",
            f"{file}: {error.strerror}.",
            "Free some space."
            if full
            else "Make the folder and its files yours, or set LOC_RUN to a folder of your own.",
        ) from error
    if not text:
        raise LocError(f"The secret {name} is empty.", f"{file} has no content.", fix)
    if mode:
        raise LocError(
            f"Others can read the secret {name}.",
            f"{file} has mode {mode:03o} for them.",
            f"chmod 600 {file}",
        )
    return text


def _make(file: Path) -> None:
    """Write a secret to a file, then link it to its path, so that nobody reads half a secret."""
    own = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    fd = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(fd, "w") as out:
            out.write(secrets.token_urlsafe(32) + "\n")
        os.link(own, file)
    except FileExistsError:
        pass  # another process was first: its secret is used
    finally:
        own.unlink()
