"""Checks of who can read this clone's secrets, and who can reach its services."""

import ipaddress
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil

from proto_loc import services
from proto_loc.doctor.configuration import make_private
from proto_loc.doctor.finding import Finding, ok
from proto_loc.services import launch
from proto_loc.settings import settings

PRIVATE = 0o077
"""The bits of a mode that give something to other users."""


def secrets() -> Iterator[Finding]:
    """Check that nobody else can read, replace or remove a secret."""
    folder = settings().run / "secrets"
    if not folder.is_dir():
        yield ok("There are no secrets yet: the first start makes them")
        return
    paths = [folder, *sorted(path for path in folder.iterdir() if path.name[0] != ".")]
    wrong = []
    for path in paths:
        with suppress(FileNotFoundError):
            entry = path.lstat()
            mode = stat.S_IMODE(entry.st_mode)
            if mode & PRIVATE or entry.st_uid != os.getuid() or stat.S_ISLNK(entry.st_mode):
                wrong.append(path)
                whose = "you" if entry.st_uid == os.getuid() else f"user {entry.st_uid}"
                is_mine = entry.st_uid == os.getuid() and not stat.S_ISLNK(entry.st_mode)
                yield Finding(
                    "fail",
                    f"{path} is not private.",
                    f"Its mode is {mode:04o}, and it belongs to {whose}.",
                    f"chmod {'700' if path == folder else '600'} '{path}'; if somebody may have"
                    " read it, remove it and run `./loc down`, `./loc up -d`: a new one is made.",
                    symptom="A command says that others can read a secret",
                    repair=partial(_hide, path, 0o700 if path == folder else 0o600)
                    if is_mine
                    else None,
                )
    if not wrong:
        yield ok(f"{len(paths) - 1} secrets in {folder} are files that only you can read")


def _hide(path: Path, mode: int) -> str:
    done = make_private(path, mode)
    return f"{done} If somebody may have read it, remove it, and: ./loc down, ./loc up -d"


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches an address; Java listens on ``::ffff:127.0.0.1``."""
    found = ipaddress.ip_address(address.partition("%")[0])
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


def listeners() -> Iterator[Finding]:
    """Check that no process of this clone's services listens on an address off this machine."""
    addresses: list[str] = []
    for pid in launch.left(services.mark()):
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            for connection in process.net_connections("inet"):
                is_bound = connection.status in (psutil.CONN_LISTEN, psutil.CONN_NONE)
                if not is_bound or not connection.laddr or connection.raddr:
                    continue
                address, port = connection.laddr[:2]
                addresses.append(address)
                if not is_loopback(address):
                    mark = process.environ().get(services.MARK, "")
                    yield Finding(
                        "fail",
                        f"{mark.rpartition(':')[2] or process.name()} listens on {address}, port"
                        f" {port}: other machines may reach it.",
                        f"It is pid {pid}: {' '.join(process.cmdline())[:100]}",
                        "End it by its pid; every service of the platform listens on 127.0.0.1"
                        " only. To give others access, put a reverse proxy in front (docs/"
                        "superset.md).",
                        symptom="A service can be reached from another machine",
                    )
    if all(map(is_loopback, addresses)):
        number = len(addresses)
        yield ok(
            f"All {number} listeners of the running services are on this machine's loopback"
            if number
            else "No service of this clone listens"
        )


def folders() -> Iterator[Finding]:
    """Check that nobody else can put something into the folders of data and state."""
    sound = True
    for folder in (settings().data, settings().run):
        if not folder.is_dir():
            continue
        entry = folder.stat()
        mode = stat.S_IMODE(entry.st_mode)
        if mode & 0o002 and not mode & stat.S_ISVTX:
            sound = False
            yield Finding(
                "fail",
                f"Everybody on this machine can write into {folder}.",
                f"Its mode is {mode:04o}: others can replace what is published, and programs.",
                f"chmod o-w '{folder}'",
                symptom="Other users of the machine can change the data",
                repair=partial(make_private, folder, mode & ~0o002)
                if entry.st_uid == os.getuid()
                else None,
            )
    if sound:
        yield ok("Only you, and whom you allowed, can write into the folders of data and state")
