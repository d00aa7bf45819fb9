"""A stack of small real processes, for tests of supervisors."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import yaml

from proto_loc.compose import supervisor
from proto_loc.compose.client import Client, State
from proto_loc.settings import ROOT

TIME = 20.0
"""Time limit in seconds for each expected event, on a busy machine too."""

LOG = {
    "flush_each_line": True,
    "no_metadata": True,
    "no_color": True,
    "disable_json": True,
    "add_timestamp": True,
    "timestamp_format": "2006-01-02T15:04:05.000Z07:00",
    "fields_order": ["time", "message"],
    "rotation": {"max_size_mb": 10, "max_backups": 3},
}

# WRAPPER does the same as `loc exec`, for services that only the test knows; its waits are shorter.
WRAPPER = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from proto_loc import services
from proto_loc.services import launch
launch.GRACE = launch.LAST_GRACE = 1
launch.STEADY, launch.PAUSE = 4, 3
services.SERVICES[sys.argv[1]] = services.Service(tuple(sys.argv[2:]), ready=sys.argv[1] + ".ready")
sys.exit(launch.main(sys.argv[1]))
"""


SUPERVISORS = ["runner", *(["process-compose"] if shutil.which("process-compose") else [])]
"""Each test of the suite runs with each of these supervisors.

A test that needs process-compose is skipped with a message if it is missing.
"""


def until(true: Callable[[], object], seconds: float = TIME) -> bool:
    """Wait until the condition is true; return False after the time limit."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


class Stack:
    """A project in ``folder`` that belongs to one test.

    Its processes append lines to the file ``events``.
    """

    def __init__(self, folder: Path, choice: str) -> None:
        self.folder, self.choice = folder, choice
        self.file, self.events = folder / "process-compose.yaml", folder / "events"
        self.processes: dict[str, dict] = {}
        self.started: list[subprocess.Popen] = []
        (folder / "wrapper.py").write_text(WRAPPER)

    def add(
        self,
        name: str,
        shell: str,
        *,
        wrapped: bool = True,
        after: dict[str, str] | None = None,
        **keys,
    ) -> None:
        """Add a process that runs this shell command, through `loc exec` if it is ``wrapped``."""
        wrapper = f"exec {sys.executable} -I -S {self.folder}/wrapper.py {name} bash -c "
        depends = {
            other: {"condition": f"process_{condition}"}
            for other, condition in (after or {}).items()
        }
        command = (wrapper + shlex.quote(shell)) if wrapped else shell
        self.processes[name] = {
            "command": command.replace("$", "$$"),
            "shutdown": {"timeout_seconds": 5},
            "depends_on": depends,
            "log_location": f"{os.environ['LOC_RUN']}/logs/{name}.log",
            "log_configuration": LOG,
            "availability": {"restart": "on_failure", "backoff_seconds": 1},
            **keys,
        }

    def service(self, name: str, before: str = ":", **keys) -> None:
        """Add a service that writes its start and its stop to ``events``, and ends on SIGTERM."""
        say = f"echo {{}} {name} >>{self.events}"
        wait = "while :; do sleep 0.1; done"
        self.add(
            name,
            f"trap '{say.format('stop')}; exit 0' TERM INT; {say.format('start')};"
            f" {before}\n{wait}",
            **keys,
        )

    def write(self) -> None:
        head = {
            "version": "0.5",
            "is_strict": True,
            "ordered_shutdown": True,
            "is_tui_disabled": True,
        }
        self.file.write_text(yaml.safe_dump({**head, "processes": self.processes}, sort_keys=False))

    def start(self, *names: str) -> subprocess.Popen:
        """Start the supervisor with the project, in its own process group, as a terminal does."""
        self.write()
        runs = supervisor.choose()
        with (self.folder / "supervisor.out").open("ab") as out:
            command = runs.command(self.file, names)
            self.started.append(
                subprocess.Popen(
                    command,
                    env=supervisor.environment(),
                    cwd=self.folder,
                    stdout=out,
                    stderr=out,
                    stdin=subprocess.DEVNULL,
                    process_group=0,
                )
            )
        return self.started[-1]

    def loc(self, *arguments: str) -> subprocess.CompletedProcess:
        """Run `loc` and wait until it ends."""
        self.write()
        return subprocess.run(
            [ROOT / "loc", *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL
        )

    def states(self) -> dict[str, State]:
        with Client() as client:
            return {state.name: state for state in client.processes()}

    def verdicts(self) -> dict[str, str]:
        return {name: state.verdict for name, state in self.states().items()}

    def said(self, lines: int = 0) -> list[str]:
        """Wait until ``events`` has this many lines; return all lines.

        A process is ready once it runs, which may be before it writes its first line.
        """
        until(lambda: not lines or len(self._events()) >= lines)
        return self._events()

    def _events(self) -> list[str]:
        return self.events.read_text().splitlines() if self.events.exists() else []

    def ours(self) -> list[psutil.Process]:
        """Return every running process that this test started, directly or indirectly."""
        found = []
        for process in psutil.process_iter():
            try:
                mine = (
                    process.environ().get("CASE") == str(self.folder) and process.pid != os.getpid()
                )
                if mine and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def gone(self) -> bool:
        """Wait until no process of the test is running; return False after the time limit."""
        return until(
            lambda: all(process.poll() is not None for process in self.started) and not self.ours()
        )

    def why(self) -> str:
        """Return the text for a failed assertion: the running processes, and the logs."""
        logs = [*self.folder.glob("run/logs/*.log"), self.folder / "supervisor.out"]
        texts = [
            f"{log.name}: {log.read_text(errors='replace')[-2000:]}" for log in logs if log.exists()
        ]
        return "\n".join(
            [json.dumps({p.pid: " ".join(p.cmdline()) for p in self.ours()}, indent=1), *texts]
        )
