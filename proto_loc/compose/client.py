"""Client of the supervisor: process-compose's HTTP API on its Unix socket."""

import time
from contextlib import suppress
from dataclasses import dataclass, replace

import httpx

from proto_loc import credentials, services
from proto_loc.errors import LocError
from proto_loc.services import launch, ports
from proto_loc.settings import settings
from proto_loc.standins.process_compose import model

SOCKET = "process-compose.sock"
STEADY = 10.0
"""Seconds after which a restarted process without a probe counts as ready."""
TOKEN = "process-compose"
"""The name of the secret that the API expects in the header ``X-PC-Token-Key``."""


@dataclass(frozen=True)
class State:
    """The state of a process, from the supervisor and from the service itself."""

    name: str
    status: str
    """Pending, Running, Restarting, Terminating, Completed, Skipped, Error or Disabled.

    Two more are not the supervisor's: Crashing (it has ended more than
    :data:`proto_loc.services.launch.MANY` times in a row) and Broken (see ``why``).
    """
    health: str
    """Ready, Not Ready, or - (not probed yet, or without a readiness probe)."""
    probed: bool
    once: bool
    """Whether the process exits by itself when its work is done."""
    restarts: int
    exit_code: int
    pid: int
    age: float
    """Seconds since the start of a running process."""
    why: str = ""
    """Why a running service cannot work, as the service itself says."""

    @property
    def verdict(self) -> str:
        """``ready``, ``done`` (exited with success), ``failed``, ``waiting`` or ``off``."""
        if self.status == "Disabled":
            return "off"
        if self.once and self.status == "Completed" and self.exit_code == 0:
            return "done"
        if self.status in ("Completed", "Skipped", "Error", "Crashing", "Broken"):
            return "failed"
        # A restarted process without a probe may be in a crash loop until it has run for a while.
        well = self.health == "Ready" if self.probed else not self.restarts or self.age > STEADY
        return "ready" if self.status == "Running" and not self.once and well else "waiting"


class Client:
    """A client of the API of this clone's supervisor; use it as a context manager."""

    def __init__(self) -> None:
        self.path = settings().socket(SOCKET)
        transport = httpx.HTTPTransport(uds=str(self.path))
        token = {"X-PC-Token-Key": credentials.secret(TOKEN)}
        self.listening: set[tuple[str, int]] = set()
        self.http = httpx.Client(
            transport=transport, base_url="http://stack", headers=token, timeout=10, trust_env=False
        )

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def alive(self) -> bool:
        """Whether a supervisor of this clone answers on the socket."""
        try:
            return self.http.get("/live").is_success
        except httpx.TransportError:
            return False

    def processes(self) -> list[State]:
        """The state of every process, sorted by name; empty if no supervisor runs.

        A service is ready only if its own process listens on its port: another one may answer the
        supervisor's probe.
        """
        try:
            answers = self.http.get("/processes").raise_for_status().json()["data"]
        except httpx.TransportError:
            return []
        except (httpx.HTTPStatusError, ValueError, KeyError) as error:
            raise LocError(
                f"What listens on {self.path} does not answer as a stack of this clone.",
                f"{error}",
                f"If {credentials.path(TOKEN)} was changed meanwhile: end the supervisor by its"
                " pid, then ./loc up",
            ) from error
        project = model.load(model.file()).processes
        states = (
            State(
                name=answer["name"],
                status=answer["status"],
                health=answer["is_ready"],
                probed=answer["has_ready_probe"],
                once=answer["name"] in project and project[answer["name"]].once,
                restarts=answer["restarts"],
                exit_code=answer["exit_code"],
                pid=answer["pid"] if answer["is_running"] else 0,
                age=answer["age"] / 1e9 if answer["is_running"] else 0,
            )
            for answer in answers
            if answer["name"] in project or answer["status"] != "Disabled"
        )
        return sorted(map(self._complete, states), key=lambda state: state.name)

    def _complete(self, state: State) -> State:
        """Add what the supervisor does not know: the port's listener, crashes, and trouble."""
        service, known = services.SERVICES.get(state.name), (state.name, state.pid)
        port = settings().port(service.port) if service and service.port else 0
        if state.health == "Ready" and state.pid and port and known not in self.listening:
            if ports.listens(state.pid, port):
                self.listening.add(known)
            else:
                state = replace(state, health="Not Ready")
        if state.health != "Ready" and state.status in ("Running", "Restarting") and not state.once:
            last = launch.ends(state.name)
            if last.number > launch.MANY:
                return replace(state, status="Crashing", exit_code=last.code)
        if state.verdict == "ready" and (why := services.trouble(state.name)):
            return replace(state, status="Broken", why=why)
        return state

    def start(self, state: State) -> None:
        """Start or restart a process; its earlier crashes no longer count.

        Raises:
            LocError: the supervisor refuses.
        """
        launch.forget_ends(state.name)
        runs = state.status in ("Running", "Restarting", "Crashing", "Broken", "Terminating")
        path = f"/process/{'restart' if runs else 'start'}/{state.name}"
        try:
            self.http.post(path, timeout=60).raise_for_status()
        except httpx.HTTPError as error:
            raise LocError(
                f"{state.name} cannot be started.", f"{error}.", "See ./loc status"
            ) from error

    def stop(self, timeout: float = 60) -> bool:
        """Stop the stack in reverse order of dependencies; return whether it has ended."""
        end = time.monotonic() + timeout
        with suppress(httpx.TransportError):  # the supervisor may exit before it answers
            self.http.post("/project/stop", timeout=timeout)
        while self.alive() and time.monotonic() < end:
            time.sleep(0.1)
        return not self.alive()
