"""``loc exec NAME``: the small parent of one service, which ends with its supervisor and leaves
nothing behind.

A service that ends again and again is never given up: each further start waits, and a steady run
wipes its ends out. It waits, without idle work, for its child's end, a signal, or its supervisor's
end. It is the subreaper of what the service starts (Linux), and every process of a service bears a
mark in its environment: so what is left of it is found wherever it went, also by the next start
after this parent itself was killed. Runs as ``python -I -S``: nothing but the standard library, and
no site-packages.
"""

import json
import math
import os
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

GRACE = 8.0
"""Seconds from SIGTERM to SIGKILL. The supervisor's own SIGKILL comes later:
``shutdown.timeout_seconds``.
"""
LAST_GRACE = 3.0
"""The same for what a service left behind when it ended."""
STEADY = 120.0
"""Seconds of a run after which the ends before it count no more."""
MANY = 5
"""Ends in a row, none of a steady run, after which each further start waits for :data:`PAUSE`."""
PAUSE = 60.0
ASKED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def main(name: str) -> int:
    """Run a service to its end and give its exit code, 128 + n after signal n.

    Raises:
        LocError: there is no such service, or its secret cannot be read or made.
    """
    from proto_loc import services

    supervisor = os.getppid()
    over = _ending(supervisor)
    if _unread(sys.stdout.fileno()):
        return 1  # the supervisor has ended while we started, and our parent is another one now
    command, env = services.start(name)
    service = services.find(name)
    marked = services.mark(name)
    end(lambda: left(marked))
    services.trouble(name, "")
    for made in filter(
        None, (service.socket, service.ready)
    ):  # of a killed one: a probe must not take it for ready
        (services.settings().run / made).unlink(missing_ok=True)
    wake, wake_in = os.pipe()
    for end_of_pipe in (wake, wake_in):
        os.set_blocking(end_of_pipe, False)
    signal.set_wakeup_fd(wake_in)
    for number in (*ASKED, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    last = ends(name) if service.stays else Ends()
    if last.supervisor != supervisor:
        forget_ends(name)
    before = last.number if last.supervisor == supervisor else 0
    if before > MANY and select.select([wake, over], [], [], PAUSE)[0]:
        return 128 + signal.SIGTERM
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    start = time.monotonic()
    child = _start(command, env)
    code, asked = _until_it_ends(child, wake, over, marked)
    number = 1 if time.monotonic() - start >= STEADY else before + 1
    code = code if code >= 0 else 128 - code
    end(lambda: left(marked, os.getpid()), LAST_GRACE)
    if service.stays and not asked:
        with suppress(OSError):  # on a full disk the ends count for less
            _note_end(name, Ends(supervisor, number, code))
    return code


class Ends(NamedTuple):
    """How a service ended by itself, without a steady run in between."""

    supervisor: int = 0
    """The pid of the one who ran it."""
    number: int = 0
    code: int = 0
    """The last exit code."""


def ends(name: str) -> Ends:
    """What is noted of a service's ends; a note of another supervisor is an old one."""
    from proto_loc import services

    try:
        return Ends(*json.loads(_ends_file(services.settings().run, name).read_text()))
    except (OSError, ValueError, TypeError):
        return Ends()


def forget_ends(name: str) -> None:
    """Let the next start be a first one."""
    from proto_loc import services

    _ends_file(services.settings().run, name).unlink(missing_ok=True)


def _note_end(name: str, noted: Ends) -> None:
    from proto_loc import services

    path = _ends_file(services.settings().run, name)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_text(json.dumps(noted))
    if noted.number > MANY:
        how = f"ended {noted.number} times in a row, none of them after {STEADY:g} steady seconds"
        print(
            f"loc: {name} {how}: the next start waits {PAUSE:g} s. ./loc restart {name} does not.",
            flush=True,
        )


def _ends_file(run: Path, name: str) -> Path:
    return run / "ends" / name


def _until_it_ends(child: int, wake: int, over: int, marked: str) -> tuple[int, bool]:
    """Its exit code (negative: the signal), and whether it was asked to end."""
    sources, deadline = [wake, over], math.inf
    while True:
        wait = None if deadline == math.inf else max(0, deadline - time.monotonic())
        ready, _, _ = select.select(sources, [], [], wait)
        numbers = os.read(wake, 4096) if wake in ready else b""
        if (code := _reap(child)) is not None:
            return code, deadline < math.inf
        asked = [number for number in numbers if number in ASKED]
        if over in ready:
            sources.remove(over)
            asked.append(signal.SIGTERM)
        for number in asked:
            os.kill(child, number)
            deadline = min(deadline, time.monotonic() + GRACE)
        if time.monotonic() >= deadline:
            for pid in left(marked, os.getpid()):
                _kill(pid, signal.SIGKILL)
            deadline += 1  # again, for what was started meanwhile


def _start(command: list[str], env: dict[str, str]) -> int:
    """Start the service in a session of its own, with signals as if from a shell; gives its pid."""
    parent = os.getpid()
    if child := os.fork():
        return child
    try:
        os.setsid()
        # What ran us with & from a script made us ignore SIGINT, and Python ignores SIGPIPE: a
        # child would inherit it.
        for number in (*ASKED, signal.SIGQUIT, signal.SIGPIPE, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)
        os.closerange(3, 1024)
        os.chdir(Path(__file__).resolve().parents[2])
        os.execvpe(command[0], command, env)
    except OSError as error:
        os.write(2, f"error: {command[0]} cannot be started: {error.strerror}.\n".encode())
    os._exit(127)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _ending(pid: int) -> int:
    """A file descriptor that is readable once that process has ended."""
    if hasattr(os, "pidfd_open"):
        return os.pidfd_open(pid)
    queue = select.kqueue()
    queue.control(
        [select.kevent(pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT)], 0
    )
    return os.dup(queue.fileno())  # queue closes its own when it is collected


def _unread(fd: int) -> bool:
    """Whether this is a pipe that nobody reads any more."""
    poll = select.poll()
    poll.register(fd, 0)
    return bool(poll.poll(0))


def _reap(child: int = 0) -> int | None:
    """Collect every child that has ended; the exit code of ``child`` (negative: the signal) if
    it is among them.
    """
    code = None
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == child:
                code = os.waitstatus_to_exitcode(ended[1])
    return code


def _kill(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def end(find, grace: float = GRACE) -> None:
    """End the processes that ``find()`` gives: SIGTERM, SIGKILL ``grace`` seconds later, until
    it gives none.
    """
    signalled: set[int] = set()
    start = time.monotonic()
    while (running := find()) and time.monotonic() < start + grace + 5:
        late = time.monotonic() >= start + grace
        for pid in running if late else running - signalled:
            _kill(pid, signal.SIGKILL if late else signal.SIGTERM)
        signalled |= running
        time.sleep(0.05)
        _reap()


def left(marked: str, ancestor: int = 0) -> set[int]:
    """Processes with this mark (or this beginning up to a colon) or under ``ancestor``; never
    our own line.
    """
    processes = _processes(marked.encode())
    line, descendants = {os.getpid()}, {ancestor} if ancestor else set()
    pid = os.getpid()
    while pid in processes:
        line.add(pid := processes[pid][0])
    grown = True
    while grown:
        children = {
            pid for pid, (parent, _) in processes.items() if parent in descendants
        } - descendants
        descendants |= children
        grown = bool(children)
    return (
        (descendants | {pid for pid, (_, bears) in processes.items() if bears}) - line - {ancestor}
    )


def _processes(marked: bytes) -> dict[int, tuple[int, bool]]:
    """Every process that has not ended: pid to its parent's pid, and whether it bears the mark."""
    variable = b"LOC_SERVICE=" + marked
    if sys.platform != "linux":
        lines = os.popen("ps -axwwE -o pid=,ppid=,stat=,command=").buffer.read().splitlines()
        rows = (line.split(None, 3) for line in lines)
        return {
            int(r[0]): (int(r[1]), _bears(b" ".join(r[3:]), variable, b" "))
            for r in rows
            if r[2][:1] != b"Z"
        }
    processes = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                state, parent = _read(f"{entry.path}/stat").rpartition(b") ")[2].split()[:2]
                if state not in (b"Z", b"X"):
                    processes[int(entry.name)] = (
                        int(parent),
                        _bears(_environ(entry.path), variable, b"\0"),
                    )
            except (OSError, ValueError):
                continue  # it ended meanwhile
    return processes


def _bears(text: bytes, variable: bytes, between: bytes) -> bool:
    return (text + between).find(variable if variable.endswith(b":") else variable + between) >= 0


def _environ(process: str) -> bytes:
    try:
        return _read(f"{process}/environ")
    except PermissionError:
        return b""  # another user's


def _read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read()


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[2]
    sys.path.insert(0, str(root))
    from proto_loc.errors import LocError

    try:
        if (root / ".env").exists():
            sys.path.append(
                str(
                    Path(sys.executable).parent.parent
                    / f"lib/python3.{sys.version_info[1]}/site-packages"
                )
            )
            from proto_loc import dotenv

            dotenv.load()
        sys.exit(main(sys.argv[1]))
    except LocError as error:
        print(error.said(), file=sys.stderr)
        sys.exit(error.exit_code)
