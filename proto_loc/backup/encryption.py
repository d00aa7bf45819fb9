"""Encrypts the secrets of a backup in age's format, for public keys or with a passphrase."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pyrage

from proto_loc import credentials
from proto_loc.errors import LocError, UsageError

PASSPHRASE = "backup-passphrase"
"""The secret for backups and restores without a terminal; it is not in a backup itself."""
NAME = re.compile(r"[A-Za-z0-9_][\w.-]*", re.ASCII)


def secrets() -> dict[str, str]:
    """The secrets of this clone by name, except the passphrase of its backups."""
    folder = credentials.path("x").parent
    if not folder.is_dir():
        return {}
    return {
        path.name: credentials.stored(path.name)
        for path in sorted(folder.iterdir())
        if NAME.fullmatch(path.name) and path.is_file() and path.name != PASSPHRASE
    }


def recipients(keys: Sequence[str]) -> list:
    """Read public keys of age (``age1...``) or SSH.

    Raises:
        UsageError: one of them is none.
    """
    return [_recipient(key) for key in keys]


def _recipient(key: str):
    kind = pyrage.ssh.Recipient if key.startswith("ssh-") else pyrage.x25519.Recipient
    try:
        return kind.from_str(key)
    except pyrage.RecipientError as error:
        raise UsageError(
            f"{key[:80]!r} is no public key of age or SSH.",
            f"{error}.",
            "Make a pair of keys with `age-keygen -o key.txt`; the public one starts with age1.",
        ) from error


def encrypt(content: dict[str, str], keys: Sequence[str], passphrase: str) -> bytes:
    """Encrypt secrets for the holders of keys, or else with a passphrase.

    Raises:
        UsageError: a key cannot be used.
    """
    text = json.dumps(content).encode()
    if keys:
        return pyrage.encrypt(text, recipients(keys))
    return pyrage.passphrase.encrypt(text, passphrase)


def decrypt(content: bytes, identity: Path | None, passphrase: str) -> dict[str, str]:
    """Decrypt secrets with the private key in a file, or else with a passphrase.

    Raises:
        UsageError: the file has no private key.
        LocError: the key or passphrase is another one, or the content is none of a backup.
    """
    try:
        if identity:
            text = pyrage.decrypt(content, _identities(identity))
        else:
            text = pyrage.passphrase.decrypt(content, passphrase)
    except pyrage.DecryptError as error:
        raise LocError(
            "The secrets of the archive cannot be decrypted.",
            f"{error}. They were encrypted {'for' if identity else 'with'} another"
            f" {'key' if identity else 'passphrase, or for a key'}.",
            "Name the file of the right key with --identity, or give the right passphrase; or leave"
            " out --with-secrets. Nothing was changed.",
        ) from error
    try:
        values = json.loads(text)
        for name, secret in values.items():
            if not NAME.fullmatch(name):
                raise ValueError("a name among them is none of a secret")
            secret.encode()
    except (ValueError, AttributeError, RecursionError) as error:
        raise LocError(
            "The secrets of the archive cannot be restored.",
            f"They are not what a backup writes: {error}.",
            "Leave out --with-secrets. Nothing was changed.",
        ) from error
    return values


def _identities(path: Path) -> list:
    try:
        text = path.read_text()
        if "PRIVATE KEY" in text:
            return [pyrage.ssh.Identity.from_buffer(text.encode())]
        lines = [line for line in text.split() if line.startswith("AGE-SECRET-KEY-")]
        if not lines:
            raise ValueError("it has no line AGE-SECRET-KEY-...")
        return [pyrage.x25519.Identity.from_str(line) for line in lines]
    except (OSError, ValueError, pyrage.IdentityError) as error:
        raise UsageError(
            f"{path} has no private key.",
            f"{str(error).removesuffix('.')}.",
            "Name the file that age-keygen wrote, or an SSH key without a passphrase.",
        ) from error
