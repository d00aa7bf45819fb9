"""Starts, stops and restarts the stack of this clone, and reports why a start failed."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Container
from contextlib import suppress
from functools import partial
from graphlib import TopologicalSorter
from pathlib import Path

import psutil

from proto_loc import files, services
from proto_loc.compose import keeper, supervisor
from proto_loc.compose.client import Client, State
from proto_loc.errors import LocError
from proto_loc.services import launch, ports
from proto_loc.settings import ROOT, private_folder, settings
from proto_loc.standins.process_compose import model

POLL = 0.3
STARTING = 30.0
"""Seconds to wait for another `loc up`, or for the services of a killed stack to end."""
_say = partial(print, flush=True)


def log(name: str) -> Path:
    """The path of a process's log, which exists once the process has written a line.

    Raises:
        UsageError: there is no such process.
    """
    path = _log(name)
    if not path.exists():
        model.load(model.file()).selected((name,))
    return path


def up(names: tuple[str, ...], *, detach: bool, timeout: float) -> None:
    """Start these processes and their dependencies, or all processes.

    Without ``detach`` this process becomes the supervisor.

    Raises:
        LocError: a port is taken, or a process failed or was not ready in time; its log is named.
    """
    project = model.load(model.file())
    to_start = project.selected(names)
    with Client() as client:
        lock = _lock_start(client)
        if lock is None:
            _keep(names)
            off = [
                state
                for state in client.processes()
                if state.verdict in ("off", "failed") and state.name in to_start
            ]
            if off:
                names_off = ", ".join(state.name for state in off)
                _say(f"The stack of this clone is up; starting what is off: {names_off}.")
                _start(client, project, off, timeout)
            else:
                _say("The stack of this clone is up already. See ./loc status.")
            return
        shutil.rmtree(settings().run / "ends", ignore_errors=True)
        launch.end(lambda: launch.left(services.mark()))
        ports.check(to_start & services.SERVICES.keys())
        runs = supervisor.choose()
        _say(f"{runs.name} runs the processes ({runs.why}).")
        os.set_inheritable(lock, True)  # the supervisor holds it as long as it lives
        env = supervisor.environment()
        if detach:
            try:
                _sign(lock)  # gets the file its block, before anything starts
                files.replace(_names_kept(), "\n".join(names))
            except OSError as error:  # that of a full disk has no path
                raise OSError(error.errno, error.strerror, str(settings().run)) from error
            _detached(client, project, runs.command(model.file()), env, lock, timeout)
        else:
            with suppress(OSError):
                _sign(lock)  # an earlier keeper's pid is not trusted
            _beside(client, timeout, lock)
            os.chdir(ROOT)
            command = runs.command(model.file(), names)
            os.execve(command[0], command, env)


def restart(names: tuple[str, ...], *, timeout: float) -> None:
    """Restart these processes of the running stack, and wait until they are ready.

    Raises:
        UsageError: there is no such process.
        LocError: nothing is up, or one failed or was not ready in time; its log is named.
    """
    project = model.load(model.file())
    for name in names:
        project.selected((name,))
    with Client() as client:
        states = [state for state in client.processes() if state.name in names]
        if not states:
            raise LocError("Nothing is up.", "", "./loc up -d")
        _keep(names)
        _start(client, project, states, timeout)


def _start(client: Client, project: model.Project, states: list[State], timeout: float) -> None:
    """Start or restart processes in the order of their dependencies, and wait for them."""
    by_name = {state.name: state for state in states}
    ports.check(
        name for name, state in by_name.items() if not state.pid and name in services.SERVICES
    )
    dependencies = {name: process.depends_on for name, process in project.processes.items()}
    for name in TopologicalSorter(dependencies).static_order():
        if name in by_name:
            client.start(by_name[name])
    _report(_watch(client, timeout, client.alive, only=by_name.keys()), timeout)


def _names_kept() -> Path:
    """The file with the names of the processes that the keeper starts; if empty, all of them."""
    return settings().run / "kept"


def _keep(names: tuple[str, ...]) -> None:
    """Make the keeper start these processes too, or all processes."""
    with suppress(OSError):  # on a full disk, it starts those of before
        if kept := _names_kept().read_text().split():
            files.replace(_names_kept(), "\n".join(sorted({*kept, *names})) if names else "")


def _report(states: list[State], timeout: float) -> None:
    """Print the links if all is ready, else raise the failure."""
    if not states or any(state.verdict == "failed" for state in states):
        raise _failure(states, "the others run: ./loc status")
    if any(state.verdict == "waiting" for state in states):
        raise _failure(states, f"not ready after {timeout:g} s; it goes on, see ./loc status")
    _links(states)


def down() -> bool:
    """Stop the stack and what a killed one left; return whether anything ran.

    Raises:
        LocError: the stack does not end.
    """
    with Client() as client:
        was_up = client.alive()
        if was_up and not client.stop():
            raise LocError(
                "The stack does not end.", f"{client.path} still answers.", "See ./loc status"
            )
    was_up |= _end_keeper()
    remaining = launch.left(services.mark())
    launch.end(lambda: launch.left(services.mark()))
    # The supervisor no longer answers, but it holds its lock until its process has ended.
    with suppress(FileNotFoundError), (settings().run / "up.lock").open() as lock:
        files.lock_within(lock, 10)
    return was_up or bool(remaining)


def _end_keeper() -> bool:
    """End the keeper of a supervisor that is gone; return whether there was one."""
    path = settings().run / "up.lock"
    with suppress(OSError, ValueError, psutil.Error), path.open("r+") as lock:
        if not files.try_lock(lock):
            process = psutil.Process(int(path.read_text()))
            if keeper.__file__ in process.cmdline():
                process.terminate()
                return True
    return False


def _lock_start(client: Client) -> int | None:
    """Take the lock of the process that starts the stack; None if the stack is up.

    A supervisor holds the lock while it lives. If it is killed, its services hold the lock until
    they have ended.
    """
    path = private_folder(settings().run) / "up.lock"
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    end, announced = time.monotonic() + STARTING, False
    while not client.alive():
        if files.try_lock(fd):
            if not client.alive():
                return fd
        else:
            if time.monotonic() > end:
                why = f"Another `loc up`, or what a killed one left, has locked {path}."
                raise LocError("The stack cannot be started.", why, "./loc down") from None
            if not announced:
                _say("Another `loc up` is running, or a killed stack is ending: waiting for it.")
            announced = True
            time.sleep(POLL)
    os.close(fd)
    return None


def _sign(lock: int, pid: int | str = "") -> None:
    """Write the pid of the keeper into the lock file, or blanks.

    The length stays the same, so that the file keeps its block, also on a full disk.
    """
    os.pwrite(lock, f"{pid:<20}".encode(), 0)


def _detached(
    client: Client, project: model.Project, command: list[str], env: dict, lock: int, timeout: float
) -> None:
    own, start = _log("supervisor"), time.time()
    null = subprocess.DEVNULL
    io = {"stdin": null, "stdout": null, "pass_fds": [lock]}
    with own.open("wb") as errors:
        child = subprocess.Popen(
            keeper.command(_names_kept(), command),
            env=env,
            cwd=ROOT,
            stderr=errors,
            start_new_session=True,
            **io,
        )
    with suppress(OSError):  # some file systems need a new block for it
        _sign(lock, child.pid)
    states = _watch(client, timeout, lambda: child.poll() is None)
    unfinished = [state for state in states if state.verdict not in ("done", "off")]
    if child.poll() is None:
        failed = [project.processes[state.name] for state in states if state.verdict == "failed"]
        if any(process.availability.restart == "exit_on_failure" for process in failed):
            raise _failure(states, "everything ends")
        _report(states, timeout)
    elif unfinished:
        raise _failure(unfinished, "everything has ended")
    elif child.returncode or not states:
        # The supervisor ended before it answered: the process that failed has the newest log.
        logs = [
            path
            for path in map(_log, project.processes)
            if path.exists() and path.stat().st_mtime >= start
        ]
        last = max(logs, key=lambda path: path.stat().st_mtime, default=own)
        raise LocError(
            f"The supervisor ended with status {child.returncode}.",
            _tail(last),
            f"Mend that: {last}",
        )


def _beside(client: Client, timeout: float, lock: int) -> None:
    """Fork a process that prints the links once all is ready; this one becomes the supervisor."""
    sys.stdout.flush()
    if child := os.fork():
        os.waitpid(child, 0)
        return
    if os.fork():
        os._exit(0)  # the supervisor must have no child that it did not start
    os.close(lock)
    try:
        starting = time.monotonic() + STARTING
        states = _watch(
            client, timeout, lambda: client.alive() or time.monotonic() < starting, lambda _: None
        )
        if client.alive() and any(state.verdict == "failed" for state in states):
            print(_failure(states, "the others run").said(), file=sys.stderr)
        elif client.alive() and states and all(state.verdict != "waiting" for state in states):
            _links(states)
    except LocError as error:
        print(error.said(), file=sys.stderr)
    finally:
        os._exit(0)


def _watch(
    client: Client,
    timeout: float,
    lives: Callable[[], bool],
    say: Callable[[str], None] | None = None,
    only: Container[str] = (),
) -> list[State]:
    """Poll until no process waits, time is up or the supervisor ends; return the last states."""
    start = time.monotonic()
    known: dict[str, str] = {}
    states: list[State] = []
    while lives() and time.monotonic() < start + timeout:
        states = [state for state in client.processes() if not only or state.name in only] or states
        for state in states:
            if known.get(state.name) != state.verdict:
                known[state.name] = state.verdict
                if state.verdict not in ("waiting", "off"):
                    (say or _say)(
                        f"{state.name}: {state.verdict} after {time.monotonic() - start:.1f} s"
                    )
        if states and all(state.verdict != "waiting" for state in states):
            break
        time.sleep(POLL)
    return states


def _failure(states: list[State], note: str) -> LocError:
    """Describe the first failed process, or else the first waiting one, with its log's end."""
    if not states:
        return LocError("The supervisor does not answer.", _tail(_log("supervisor")), "./loc down")
    order = {"failed": 0, "waiting": 1}
    # One that runs is told before those that wait for it: the supervisor may end too soon.
    unstarted = ("Pending", "Skipped")
    first = min(states, key=lambda state: (order.get(state.verdict, 2), state.status in unstarted))
    ended = (
        f"failed with exit code {first.exit_code}"
        if first.verdict == "failed"
        else f"was last seen {first.status}"
    )
    if first.why:
        fix = f"Mend that, then ./loc restart {first.name}"
        return LocError(f"{first.name} runs, but cannot work; {note}.", first.why, fix)
    path, service = _log(first.name), services.SERVICES.get(first.name)
    port = settings().port(service.port) if service and service.port else 0
    what = f"{first.name} {ended}; {note}."
    other = ports.taken_by(port) if first.pid and port else ""
    if other and not ports.listens(first.pid, port):
        why = f"It does not listen on its port {port}: there is {other}."
        return LocError(what, why, f"End that, then ./loc restart {first.name}")
    if first.status in unstarted:  # if it has a log, that is from an earlier start
        return LocError(what, "It was not started.", "See ./loc status")
    return LocError(what, _tail(path), f"Mend that; the whole log: {path}")


def _tail(path: Path) -> str:
    lines = path.read_text(errors="replace").splitlines()[-10:] if path.exists() else []
    return "\n".join([f"{path.name} ends:", *lines]) if lines else f"{path.name} is empty."


def _links(states: list[State]) -> None:
    _say("All is ready.")
    for line in services.lines(state.name for state in states if state.verdict == "ready"):
        _say(line)


def _log(name: str) -> Path:
    return settings().run / "logs" / f"{name}.log"
