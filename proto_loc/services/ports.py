"""Checks which processes listen on the services' ports, before a service starts."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import psutil

from proto_loc import services
from proto_loc.errors import LocError, UsageError
from proto_loc.services import launch
from proto_loc.settings import PORTS, port_setting, settings


@dataclass(frozen=True)
class Listener:
    """A process that listens on a port of 127.0.0.1 or of every address."""

    port: int
    pid: int | None
    """None for a process of another user that the system does not show."""
    command: str
    mark: str
    """The value of :data:`proto_loc.services.MARK` in its environment; empty if it has none."""


def listeners(ports: Iterable[int]) -> list[Listener]:
    """The processes that listen on any of these ports."""
    ports = set(ports)
    pids: dict[int, int | None] = {}
    for pid, connection in _connections():
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port in ports:
            pids[connection.laddr.port] = pids.get(connection.laddr.port) or pid
    return [_listener(port, pid) for port, pid in sorted(pids.items())]


def listens(pid: int, port: int) -> bool:
    """Whether this process or a descendant of it listens on the port."""
    with suppress(psutil.Error):
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            with suppress(psutil.Error):
                for one in process.net_connections("tcp"):
                    if one.status == psutil.CONN_LISTEN and one.laddr.port == port:
                        return True
    return False


def follow() -> None:
    """Take the settings of ports from this clone's stack, if the stack is running."""
    if services.MARK in os.environ:
        return
    for pid in launch.left(services.mark()):
        with suppress(psutil.Error):
            variables = psutil.Process(pid).environ()
            for name in ("LOC_PORT_PREFIX", *map(port_setting, PORTS)):
                os.environ[name] = variables.get(name, "")
            return


def taken_by(port: int) -> str:
    """Describe the process that listens on a port, for a message; empty if there is none."""
    return next((_who(one) for one in listeners((port,))), "")


def check(names: Iterable[str]) -> None:
    """Check that no process outside this clone listens on a port of these services.

    Raises:
        LocError: a process does; the message names the process and a port prefix that is free.
    """
    services_by_port = {
        settings().port(key): name for name in names if (key := services.find(name).port)
    }
    taken = [one for one in listeners(services_by_port) if not one.mark.startswith(services.mark())]
    if not taken:
        return
    lines = [
        f"{services_by_port[one.port]} listens on {one.port}, and there is {_who(one)}"
        for one in taken
    ]
    free = next(
        (prefix for prefix in "12345" if not _listeners_with(prefix)),
        None,
    )
    move = (
        f", or move all ports of this clone: LOC_PORT_PREFIX={free} ./loc up (in .env, it stays so)"
        if free
        else ""
    )
    raise LocError(
        f"Port {' and '.join(str(one.port) for one in taken)} of 127.0.0.1 is taken; nothing was"
        " started.",
        f"{'; '.join(lines)}.",
        f"End {'it' if len(taken) == 1 else 'them'}{move}.",
    )


def _listeners_with(prefix: str) -> bool:
    """Whether a process listens on a port that a service would have with this prefix."""
    try:
        return bool(listeners([replace(settings(), port_prefix=prefix).port(key) for key in PORTS]))
    except UsageError:  # the prefix does not go with the fork's own ports
        return True


def _who(one: Listener) -> str:
    if one.mark:
        folder, _, name = one.mark.rpartition(":")
        return f"{name} of another clone, pid {one.pid}, whose run folder is {folder}"
    return f"pid {one.pid} ({one.command})" if one.pid else "a process of another user"


def _connections() -> Iterator[tuple[int | None, Any]]:
    """Every TCP connection with the pid of its process."""
    try:
        yield from ((one.pid, one) for one in psutil.net_connections("tcp"))
    except psutil.AccessDenied:  # macOS lists all of them for root only
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                yield from ((process.pid, one) for one in process.net_connections("tcp"))


def _listener(port: int, pid: int | None) -> Listener:
    try:
        process = psutil.Process(pid) if pid else None
        command = " ".join(process.cmdline())[:100] if process else ""
        return Listener(
            port, pid, command, process.environ().get(services.MARK, "") if process else ""
        )
    except psutil.Error:
        return Listener(port, pid, "", "")
