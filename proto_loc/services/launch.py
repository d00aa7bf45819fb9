"""Runs a service for ``loc exec NAME``, and ends all of its processes with the supervisor.

This process waits until its child ends, a signal arrives, or its supervisor ends. A child that
something has stopped (SIGSTOP) is continued. After several crashes in a row, the next start waits
for a while; a long run resets the count. On Linux this process is the subreaper of the service's
processes. Each of them has a mark in its environment, so that this process can find all of them. If
this process is killed, the next start finds them. It runs as ``python -I -S``, without
site-packages: only the standard library is imported.
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
"""Seconds from SIGTERM to SIGKILL; less than ``shutdown.timeout_seconds`` of the supervisor."""
LAST_GRACE = 3.0
"""The same for processes that still run after their service has ended."""
STEADY = 120.0
"""After so many seconds of a run, the earlier crashes of a service no longer count."""
MANY = 5
"""Crashes in a row after which each further start waits for :data:`PAUSE` seconds."""
PAUSE = 60.0
ASKED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def main(name: str) -> int:
    """Run a service to its end and return its exit code (128 + n after signal n).

    Raises:
        LocError: there is no such service, or its secret cannot be read or made.
    """
    from proto_loc import services

    supervisor = os.getppid()
    over = _ending(supervisor)
    if _unread(sys.stdout.fileno()):
        return 1  # the supervisor ended during this start, so the parent is another process
    command, env = services.start(name)
    service = services.find(name)
    marked = services.mark(name)
    end(lambda: left(marked))
    services.trouble(name, "")
    # Remove what a killed service left, so that no probe takes the new one for ready.
    for name_in_run in filter(None, (service.socket, service.ready)):
        (services.settings().run / name_in_run).unlink(missing_ok=True)
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
        with suppress(OSError):  # if the disk is full, this end is not counted
            _note_end(name, Ends(supervisor, number, code))
    return code


class Ends(NamedTuple):
    """The crashes of a service since its last steady run."""

    supervisor: int = 0
    """The pid of the supervisor."""
    number: int = 0
    code: int = 0
    """The last exit code."""


def ends(name: str) -> Ends:
    """Read a service's recorded crashes; those under another supervisor are outdated."""
    try:
        return Ends(*json.loads(_ends_file(name).read_text()))
    except (OSError, ValueError, TypeError):
        return Ends()


def forget_ends(name: str) -> None:
    """Delete the recorded crashes of a service."""
    _ends_file(name).unlink(missing_ok=True)


def _note_end(name: str, record: Ends) -> None:
    path = _ends_file(name)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_text(json.dumps(record))
    if record.number > MANY:
        how = f"ended {record.number} times in a row, none of them after {STEADY:g} steady seconds"
        print(
            f"loc: {name} {how}: the next start waits {PAUSE:g} s. ./loc restart {name} does not.",
            flush=True,
        )


def _ends_file(name: str) -> Path:
    from proto_loc import services

    return services.settings().run / "ends" / name


def _until_it_ends(child: int, wake: int, over: int, marked: str) -> tuple[int, bool]:
    """Wait for the child; return its exit code or minus its signal, and whether it had to end."""
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
            os.kill(child, signal.SIGCONT)  # a process that is stopped gets no other signal
            deadline = min(deadline, time.monotonic() + GRACE)
        if time.monotonic() >= deadline:
            for pid in left(marked, os.getpid()):
                _kill(pid, signal.SIGKILL)
            deadline += 1  # again, for processes that were started meanwhile


def _start(command: list[str], env: dict[str, str]) -> int:
    """Start the service in its own session, with default signal handlers; return its pid."""
    parent = os.getpid()
    lines = _json_lines(env) if env.get("LOC_LOG_FORMAT") == "json" else None
    if child := os.fork():
        if lines is not None:
            os.close(lines)
        return child
    try:
        if lines is not None:
            os.dup2(lines, 1)
            os.dup2(lines, 2)
        os.setsid()
        # A script that runs `loc exec` with & makes it ignore SIGINT, and Python ignores SIGPIPE;
        # the child would inherit both.
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


def _json_lines(env: dict[str, str]) -> int:
    """Start the process that turns the service's output into JSON; return the pipe to it.

    It ends once the last process of the service has closed its output.
    """
    reading, writing = os.pipe()
    if os.fork():
        os.close(reading)
        return writing
    try:
        os.setsid()
        for number in (*ASKED, signal.SIGPIPE, signal.SIGCHLD):
            signal.signal(number, signal.SIG_IGN if number in ASKED else signal.SIG_DFL)
        os.dup2(reading, 0)
        os.closerange(3, 1024)
        program = Path(__file__).with_name("log_lines.py")
        os.execve(sys.executable, [sys.executable, "-I", "-S", str(program)], env)
    finally:
        os._exit(127)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _ending(pid: int) -> int:
    """Open a file descriptor that becomes readable when that process ends."""
    if hasattr(os, "pidfd_open"):
        return os.pidfd_open(pid)
    queue = select.kqueue()
    queue.control(
        [select.kevent(pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT)], 0
    )
    return os.dup(queue.fileno())  # queue closes its own when it is collected


def _unread(fd: int) -> bool:
    """Whether this is a pipe whose reader is gone."""
    poll = select.poll()
    poll.register(fd, 0)
    return bool(poll.poll(0))


def _reap(child: int = 0) -> int | None:
    """Wait for ended children; return the exit code of ``child``, or minus its signal.

    A stopped child is continued: it would answer nobody, and keep its locks. A restart would cost
    what the service has in memory, such as a person's kernels.
    """
    code = None
    with suppress(ChildProcessError):
        while (changed := os.waitpid(-1, os.WNOHANG | os.WUNTRACED))[0]:
            pid, status = changed
            if os.WIFSTOPPED(status):
                _kill(pid, signal.SIGCONT)
                with suppress(OSError):  # the reader may be gone
                    print(f"loc: process {pid} was stopped, and is continued", flush=True)
            elif pid == child:
                code = os.waitstatus_to_exitcode(status)
    return code


def _kill(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def end(find, grace: float = GRACE) -> None:
    """End the processes that ``find()`` returns: SIGTERM, then SIGKILL after ``grace`` seconds."""
    signalled: set[int] = set()
    start = time.monotonic()
    while (running := find()) and time.monotonic() < start + grace + 5:
        late = time.monotonic() >= start + grace
        for pid in running if late else running - signalled:
            _kill(pid, signal.SIGKILL if late else signal.SIGTERM)
            _kill(pid, signal.SIGCONT)
        signalled |= running
        time.sleep(0.05)
        _reap()


def left(marked: str, ancestor: int = 0) -> set[int]:
    """Find processes with this mark (or prefix up to a colon), and descendants of ``ancestor``.

    The result leaves out this process and its ancestors.
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
    """Every running process by pid: the pid of its parent, and whether it has the mark."""
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
