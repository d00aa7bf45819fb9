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
"""Seconds for which a restarted process without a probe has to run before it counts as ready."""
TOKEN = "process-compose"
"""The name of the secret that the API asks for, in the header ``X-PC-Token-Key``."""


@dataclass(frozen=True)
class State:
    """A process as the API tells of it."""

    name: str
    status: str
    """Pending, Running, Restarting, Terminating, Completed, Skipped (a dependency failed), Error,
    or Disabled.

    Crashing is ours: it has ended more than :data:`proto_loc.services.launch.MANY` times in a row,
    and each further start waits.
    """
    health: str
    """Ready, Not Ready, or - (not asked yet, or without a readiness probe)."""
    probed: bool
    once: bool
    """Whether it is to end by itself."""
    restarts: int
    exit_code: int
    pid: int
    age: float
    """Seconds since its start, while it runs."""
    why: str = ""
    """What keeps it from its work though it runs, as it says itself; the status is Broken then,
    which is ours too.
    """

    @property
    def verdict(self) -> str:
        """``ready``, ``done`` (ended well, and was to end), ``failed``, ``waiting``, or
        ``off`` (not to be started).
        """
        if self.status == "Disabled":
            return "off"
        if self.once and self.status == "Completed" and self.exit_code == 0:
            return "done"
        if self.status in ("Completed", "Skipped", "Error", "Crashing", "Broken"):
            return "failed"
        # Without a probe, one that was started again has to show first that it is in no crash loop.
        well = self.health == "Ready" if self.probed else not self.restarts or self.age > STEADY
        return "ready" if self.status == "Running" and not self.once and well else "waiting"


class Client:
    """The API of this clone's stack. Use it as a context manager."""

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
        """Whether a stack of this clone is up; a socket that a killed one left is none."""
        try:
            return self.http.get("/live").is_success
        except httpx.TransportError:
            return False

    def processes(self) -> list[State]:
        """Every process of the file, by name; empty if nothing is up.

        A service is ready only if what listens on its port is the service, whoever answers the
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
        keys = {
            "status": "status",
            "health": "is_ready",
            "probed": "has_ready_probe",
            "exit_code": "exit_code",
        }
        states = (
            State(
                **{ours: one[theirs] for ours, theirs in keys.items()},
                name=one["name"],
                once=one["name"] in project and project[one["name"]].once,
                restarts=one["restarts"],
                pid=one["pid"] if one["is_running"] else 0,
                age=one["age"] / 1e9 if one["is_running"] else 0,
            )
            for one in answers
        )
        return sorted(map(self._looked_at, states), key=lambda state: state.name)

    def _looked_at(self, state: State) -> State:
        """What the supervisor does not know of a process: whose its port is, and what its
        service notes of its ends.
        """
        service, known = services.SERVICES.get(state.name), (state.name, state.pid)
        if (
            state.health == "Ready"
            and state.pid
            and service
            and service.port
            and known not in self.listening
        ):
            if ports.listens(state.pid, settings().port(service.port)):
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
        """Start a process that is off, or end it and start it again; its ends so far count no more.

        Raises:
            LocError: the supervisor does not do so.
        """
        launch.forget_ends(state.name)
        how = (
            "restart"
            if state.status in ("Running", "Restarting", "Crashing", "Broken", "Terminating")
            else "start"
        )
        try:
            self.http.post(f"/process/{how}/{state.name}", timeout=60).raise_for_status()
        except httpx.HTTPError as error:
            raise LocError(
                f"{state.name} cannot be started.", f"{error}.", "See ./loc status"
            ) from error

    def stop(self, timeout: float = 60) -> bool:
        """End the stack in reverse order of dependencies; whether nothing answers any more."""
        end = time.monotonic() + timeout
        with suppress(httpx.TransportError):  # it may end before it answers
            self.http.post("/project/stop", timeout=timeout)
        while self.alive() and time.monotonic() < end:
            time.sleep(0.1)
        return not self.alive()
