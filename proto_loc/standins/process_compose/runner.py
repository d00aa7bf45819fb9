"""Runs the processes of a project: start order, readiness probes, restarts, logs, shutdown.

Keys and statuses have the same meaning as in process-compose 1.122.
"""

import asyncio
import logging
import os
import signal
import time
from asyncio.subprocess import DEVNULL, STDOUT
from collections.abc import Coroutine, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from http.client import HTTPConnection, HTTPException
from logging.handlers import RotatingFileHandler
from pathlib import Path

import psutil

from proto_loc.settings import private_folder
from proto_loc.standins.process_compose import model

SHELL = ("bash", "-c")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Process:
    """One process of the project, over all of its restarts."""

    def __init__(self, name: str, config: model.Process, runner: "Runner") -> None:
        self.name, self.config, self.runner = name, config, runner
        self.restarts = 0
        self.child: asyncio.subprocess.Process | None = None
        self.renew()

    def renew(self) -> None:
        """Reset the state to that of a process that has not run yet."""
        self.status, self.health = "Pending", "-"
        self.exit_code = 0
        self.since = 0.0
        self.started, self.ready, self.ended, self.stopping = (asyncio.Event() for _ in range(4))

    @property
    def running(self) -> bool:
        return self.child is not None and self.child.returncode is None

    def state(self) -> dict:
        """The state in the form of process-compose's API; the age is in nanoseconds."""
        return {
            "name": self.name,
            "status": self.status,
            "is_ready": self.health,
            "has_ready_probe": self.config.readiness_probe is not None,
            "restarts": self.restarts,
            "exit_code": self.exit_code,
            "pid": self.child.pid if self.child else 0,
            "is_running": self.running,
            "age": int((time.time() - self.since) * 1e9) if self.running else 0,
        }

    async def run(self) -> None:
        """Wait for the dependencies, run the process, and restart it as its policy says."""
        self.status = await self._dependencies()
        if self.status == "Skipped":
            self.exit_code = 1
        with _log_file(self.config) as log:
            while self.status == "Running":
                await self._once(log)
                if not self._again():
                    self.status = "Completed"
                    break
                self.status = "Restarting"
                self.restarts += 1
                await _first(
                    self.stopping.wait(), asyncio.sleep(self.config.availability.backoff_seconds)
                )
                self.status = "Completed" if self.stopping.is_set() else "Running"
        self.ended.set()
        if (
            self.config.availability.restart == "exit_on_failure"
            and self.exit_code
            and not self.stopping.is_set()
        ):
            self.runner.exit_code = self.exit_code
            self.runner.stop()

    async def _dependencies(self) -> str:
        """Wait for the dependencies; return Running, Skipped or Completed (if stopped)."""
        for name, dependency in self.config.depends_on.items():
            other, condition = self.runner.processes[name], dependency.condition
            reached = {"process_started": other.started, "process_healthy": other.ready}.get(
                condition, other.ended
            )
            await _first(reached.wait(), other.ended.wait(), self.stopping.wait())
            if self.stopping.is_set():
                return "Completed"
            failed = condition == "process_completed_successfully" and other.exit_code != 0
            if failed or not reached.is_set():
                self.runner.say(
                    self.name, f"not started: {name} ended with status {other.exit_code}"
                )
                return "Skipped"
        return "Running"

    async def _once(self, log: logging.Logger) -> None:
        env = os.environ | {"PC_PROC_NAME": self.name}
        env |= dict(
            pair.split("=", 1)
            for pair in (*self.runner.project.environment, *self.config.environment)
        )
        # The pipe is not asyncio's, whose wait() also waits for the pipe's end: grandchildren may
        # keep the pipe open.
        output, writer = os.pipe()
        self.child = await asyncio.create_subprocess_exec(
            *SHELL,
            self.config.command,
            stdin=DEVNULL,
            stdout=writer,
            stderr=STDOUT,
            env=env,
            process_group=0,
        )
        os.close(writer)
        stream = asyncio.StreamReader()
        pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(output, "rb", 0)
        )
        self.since = time.time()
        self.started.set()
        tasks = [asyncio.create_task(self._read(stream, log))]
        if self.config.readiness_probe:
            tasks.append(asyncio.create_task(self._probe(self.config.readiness_probe)))
        if self.stopping.is_set():  # a stop came during the start
            tasks.append(asyncio.create_task(self._end()))
        code = await self.child.wait()
        await _first(asyncio.shield(tasks[0]), asyncio.sleep(1))
        for task in tasks:
            task.cancel()
        pipe.close()
        self.exit_code = code if code >= 0 else -1  # Go's exit code after a signal
        self.health = "-"

    def _again(self) -> bool:
        policy = self.config.availability
        should_restart = policy.restart == "always" or (
            policy.restart == "on_failure" and self.exit_code != 0
        )
        return (
            should_restart
            and not self.stopping.is_set()
            and not 0 < policy.max_restarts <= self.restarts
        )

    async def _read(self, output: asyncio.StreamReader, log: logging.Logger) -> None:
        rest = b""
        while chunk := await output.read(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._line(log, line)
        if rest:
            self._line(log, rest)

    def _line(self, log: logging.Logger, line: bytes) -> None:
        text = line.decode(errors="replace")
        log.info(text)
        self.runner.say(self.name, text)

    async def _probe(self, probe: model.Probe) -> None:
        failures = 0
        await asyncio.sleep(probe.initial_delay_seconds)
        while True:
            if await _passes(probe):
                failures, self.health = 0, "Ready"
                self.ready.set()
            else:
                failures, self.health = failures + 1, "Not Ready"
                if failures == probe.failure_threshold:
                    self.runner.say(self.name, f"not ready after {failures} probes: it is ended")
                    await self._end()
            await asyncio.sleep(probe.period_seconds)

    async def stop(self) -> None:
        """Stop the process without a restart, after all processes that depend on it."""
        dependents = [p for p in self.runner.processes.values() if self.name in p.config.depends_on]
        await asyncio.gather(*(dependent.ended.wait() for dependent in dependents))
        await self.stop_alone()

    async def stop_alone(self) -> None:
        """Stop the process without a restart, whatever depends on it."""
        self.stopping.set()
        if self.running:
            await self._end()
        await self.ended.wait()

    async def _end(self) -> None:
        """Signal the process group; after the timeout, kill it and all descendants."""
        self.status = "Terminating"
        child, shutdown = self.child, self.config.shutdown
        tree = _descendants(child.pid)
        with suppress(ProcessLookupError):
            os.killpg(child.pid, shutdown.signal)
            os.killpg(child.pid, signal.SIGCONT)  # one that is stopped gets no other signal
        with suppress(TimeoutError):
            await asyncio.wait_for(child.wait(), shutdown.timeout_seconds)
            return
        tree += _descendants(child.pid)
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        for process in tree:
            with suppress(psutil.Error):
                process.kill()  # psutil checks that the pid is still the same process


class Runner:
    """All processes of a project, or the selected ones with what they depend on."""

    def __init__(self, project: model.Project, names: tuple[str, ...] = ()) -> None:
        self.project, selected = project, project.selected(names)
        self.processes = {
            name: Process(name, project.processes[name], self) for name in project.processes
        }
        for name in self.processes.keys() - selected:
            self.processes[name].status = "Disabled"
            self.processes[name].ended.set()
        self.exit_code = 0
        self.tasks: set[asyncio.Task] = set()
        self.stopped: asyncio.Task | None = None

    async def run(self) -> int:
        """Run until all processes end; return 0, or the exit code of one that must not fail."""
        for number in SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self.stop)
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self.continue_stopped)
        for process in self.processes.values():
            if process.status != "Disabled":
                self._begin(process.run())
        while self.tasks:
            done, _ = await asyncio.wait(self.tasks, return_when=asyncio.FIRST_COMPLETED)
            self.tasks -= done
            for task in done:
                task.result()
        if self.stopped:
            await self.stopped
        return self.exit_code

    def _begin(self, work: Coroutine) -> asyncio.Task:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        return task

    def start(self, name: str) -> bool:
        """Start a process that does not run; return False if it runs or the project stops."""
        process = self.processes[name]
        if self.stopped or not process.ended.is_set():
            return False
        process.renew()
        self._begin(process.run())
        return True

    def restart(self, name: str) -> asyncio.Task:
        """Begin to restart a process; the processes that depend on it continue."""

        async def work() -> None:
            await self.processes[name].stop_alone()
            self.start(name)

        return self._begin(work())

    def stop(self) -> asyncio.Task:
        """Begin to stop all processes in reverse order of dependencies, once."""

        async def work() -> None:
            await asyncio.gather(*(process.stop() for process in self.processes.values()))

        if self.stopped is None:
            self.stopped = asyncio.create_task(work())
        return self.stopped

    def continue_stopped(self) -> None:
        """Continue the processes that something has stopped (SIGSTOP)."""
        for process in self.processes.values():
            with suppress(psutil.Error):
                if process.running and (
                    psutil.Process(process.child.pid).status() == psutil.STATUS_STOPPED
                ):
                    self.say(process.name, "it was stopped, and is continued")
                    process.child.send_signal(signal.SIGCONT)

    def say(self, name: str, text: str) -> None:
        with suppress(OSError, ValueError):  # the terminal may be gone
            print(f"[{name}] {text}", flush=True)


async def _passes(probe: model.Probe) -> bool:
    if probe.http_get:
        return await asyncio.to_thread(_answers, probe.http_get, probe.timeout_seconds)
    child = await asyncio.create_subprocess_exec(
        *SHELL, probe.exec.command, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL
    )
    try:
        return await asyncio.wait_for(child.wait(), probe.timeout_seconds) == 0
    except TimeoutError:
        return False
    finally:
        with suppress(ProcessLookupError):
            child.kill()


def _answers(asked: model.HttpGet, timeout: float) -> bool:
    connection = HTTPConnection(asked.host, asked.port, timeout=timeout)
    try:
        connection.request("GET", asked.path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


async def _first(*waits) -> None:
    """Wait until one of them is done; cancel the others."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


@contextmanager
def _log_file(config: model.Process) -> Iterator[logging.Logger]:
    """Open the log file of a process as a logger that rotates by size."""
    rotation, path = config.log_configuration.rotation, Path(config.log_location)
    private_folder(path.parent)
    handler = RotatingFileHandler(
        path,
        maxBytes=rotation.max_size_mb << 20,
        backupCount=rotation.max_backups,
        encoding="utf-8",
        delay=True,
    )
    if "time" in config.log_configuration.fields_order:
        handler.setFormatter(_Lines())
    logger = logging.Logger(str(path))
    logger.addHandler(handler)
    with closing(handler):
        yield logger


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        made = datetime.fromtimestamp(record.created).astimezone()
        return f"{made.isoformat(timespec='milliseconds').replace('+00:00', 'Z')} {record.msg}"
