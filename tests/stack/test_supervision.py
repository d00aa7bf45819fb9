"""Tests that every supervisor must pass: the runner, and process-compose if it is on PATH.

No process may be running 20 s after a test; the fixture checks that.
"""

import os
import signal
import socket
import time
from collections import Counter
from contextlib import suppress

import httpx
import psutil
import pytest
from dummies import LOG, ROOT, until

from proto_loc.compose.client import Client
from proto_loc.services import launch

ENDS = {"Ctrl-C": signal.SIGINT, "SIGTERM": signal.SIGTERM, "SIGHUP": signal.SIGHUP}


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def taken(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def server(stack, name: str, port: int, **keys) -> None:
    """Add an HTTP server on this port, with a probe.

    It starts slowly, so that "ready" differs from "started".
    """
    python = (
        f"sleep 0.5; exec {ROOT}/.venvs/platform/bin/python -m http.server {port} --bind 127.0.0.1"
    )
    probe = {
        "http_get": {"port": str(port)},
        "period_seconds": 1,
        "timeout_seconds": 3,
        "failure_threshold": 20,
    }
    stack.add(name, f"echo start {name} >>{stack.events}; {python}", readiness_probe=probe, **keys)


def test_starts_in_order_and_ends_in_reverse(stack):
    port = free_port()
    stack.add(
        "setup",
        f"sleep 0.5; echo done setup >>{stack.events}",
        availability={"restart": "exit_on_failure"},
    )
    server(stack, "web", port, after={"setup": "completed_successfully"})
    before = (
        f"curl --silent --fail --output /dev/null http://127.0.0.1:{port}/ && echo reached web"
        f" >>{stack.events}"
    )
    stack.service("front", before, after={"web": "healthy"})
    stack.service("last", after={"front": "started"})
    started = stack.start()
    assert until(lambda: {"start front", "start last"} <= set(stack.said())), stack.why()
    assert until(lambda: set(stack.verdicts().values()) == {"ready", "done"}), stack.why()
    said = stack.said()
    assert said.index("done setup") < said.index("start web") < said.index("start front")
    assert said.index("done setup") < said.index("start last")
    assert "reached web" in said
    with Client() as client:
        assert client.stop()
    started.wait(20)
    assert [line for line in stack.said() if line.startswith("stop")] == ["stop last", "stop front"]
    assert not taken(port)


def test_what_depends_on_a_failure_is_skipped_and_the_rest_runs(stack):
    stack.add("broken", "exit 3", availability={"restart": "no"})
    stack.service("after", after={"broken": "completed_successfully"})
    stack.service("later", after={"after": "started"})
    stack.service("alone")
    stack.start()
    assert until(
        lambda: "start alone" in stack.said() and stack.verdicts().get("after") == "failed"
    ), stack.why()
    states = stack.states()
    assert (states["broken"].exit_code, states["after"].status) == (3, "Skipped")
    assert "start after" not in stack.said()
    assert states["alone"].verdict == "ready"


def test_nothing_goes_on_when_setup_fails(stack):
    stack.add("setup", "exit 3", availability={"restart": "exit_on_failure"})
    stack.service("after", after={"setup": "completed_successfully"})
    stack.service("beside")
    assert stack.start().wait(20) == 3
    assert "start after" not in stack.said()


def test_a_crash_loop_ends_after_its_restarts_and_leaves_the_others_alone(stack):
    stack.add(
        "broken",
        f"echo start broken >>{stack.events}; exit 7",
        availability={"restart": "on_failure", "backoff_seconds": 1, "max_restarts": 2},
    )
    stack.service("other")
    stack.start()
    assert until(lambda: stack.verdicts().get("broken") == "failed"), stack.why()
    assert Counter(stack.said()) == {"start broken": 3, "start other": 1}
    assert (stack.states()["broken"].restarts, stack.states()["broken"].exit_code) == (2, 7)


@pytest.mark.slow
def test_a_service_that_ends_often_is_never_given_up(stack):
    """Bug: the sixth exit during the life of a stack was final, even if the others were
    days ago.
    """
    mended, alive = stack.folder / "mended", stack.folder / "alive"
    runs = f"rm {mended}; touch {alive}; sleep 5; exit 8"
    stack.add(
        "web",
        f"echo start web >>{stack.events}; test -e {mended} || exit 7; {runs}",
        readiness_probe={
            "exec": {"command": f"test -e {alive}"},
            "period_seconds": 1,
            "failure_threshold": 99,
        },
        availability={"restart": "always", "backoff_seconds": 1},
    )
    stack.service("other")
    stack.start()
    assert until(lambda: stack.verdicts().get("web") == "failed"), stack.why()
    state = stack.states()["web"]
    assert (state.status, state.exit_code) == ("Crashing", 7)
    assert launch.ends("web").number > launch.MANY
    status = stack.loc("status")
    assert status.returncode == 1 and "Crashing" in status.stdout
    # On a busy machine `loc status` takes longer than a restart.
    assert until(lambda: stack.said().count("start web") > 6), "it is tried again, though later"
    mended.touch()
    assert until(lambda: stack.verdicts()["web"] == "ready"), stack.why()
    assert until(lambda: launch.ends("web").code == 8), stack.why()
    assert launch.ends("web").number == 1, "a steady run wipes out the ends before it"
    assert stack.states()["other"].restarts == 0


def test_a_service_that_ends_without_an_error_is_started_again(stack):
    """Bug: a service that got SIGTERM exited with 0 and stayed down; `loc status`
    called it "done".
    """
    stack.add(
        "web",
        f"echo start web >>{stack.events}; sleep 1",
        availability={"restart": "always", "backoff_seconds": 1, "max_restarts": 2},
    )
    stack.service("other")
    stack.start()
    assert until(lambda: stack.said().count("start web") == 3), stack.why()
    assert until(lambda: stack.verdicts().get("web") == "failed"), stack.why()
    assert stack.loc("status").returncode == 1


@pytest.mark.slow
def test_loc_up_is_not_content_with_a_crash_loop(stack):
    """Bug: a process without a probe counted as ready whenever it was running."""
    starts = f"echo start broken >>{stack.events}"
    stack.add(
        "broken",
        f"{starts}; sleep 1; echo out of luck; exit 7",
        availability={"restart": "on_failure", "backoff_seconds": 1, "max_restarts": 2},
    )
    flag = stack.folder / "flag"
    probe = {"exec": {"command": f"test -e {flag}"}, "period_seconds": 1, "failure_threshold": 60}
    # Ready only once the other one has been restarted, however busy the machine is.
    again = f"until [ $(grep -c broken {stack.events}) -gt 1 ]; do sleep 0.1; done"
    stack.service("web", f"{again}; touch {flag}", readiness_probe=probe)
    up = stack.loc("up", "-d")
    assert up.returncode == 1, up.stdout
    assert "broken failed with exit code 7" in up.stderr and "out of luck" in up.stderr


def test_a_process_that_never_gets_ready_is_started_again(stack):
    """The probe waits for the process's first line: on a busy machine, the process would be ended
    before it is there.
    """
    begun = f"[ $(grep -c start {stack.events}) -gt $(grep -c stop {stack.events}) ]"
    fails = f"until {begun}; do sleep 0.1; done 2>/dev/null; false"
    stack.service(
        "web",
        readiness_probe={
            "exec": {"command": fails.replace("$", "$$")},
            "period_seconds": 1,
            "timeout_seconds": 20,
            "failure_threshold": 2,
        },
        availability={"restart": "always", "backoff_seconds": 1, "max_restarts": 1},
    )
    stack.service("after", after={"web": "healthy"})
    assert stack.start().wait(60) == 0
    assert stack.said() == ["start web", "stop web"] * 2


def test_a_probe_by_command(stack):
    flag = stack.folder / "flag"
    probe = {"exec": {"command": f"test -e {flag}"}, "period_seconds": 1, "failure_threshold": 60}
    stack.service("web", readiness_probe=probe)
    stack.start()
    assert until(lambda: stack.states() and stack.states()["web"].health == "Not Ready"), (
        stack.why()
    )
    assert stack.verdicts() == {"web": "waiting"}
    flag.touch()
    assert until(lambda: stack.verdicts() == {"web": "ready"}), stack.why()


@pytest.mark.parametrize("wrapped", [True, False], ids=["loc exec", "bare"])
def test_a_process_that_ignores_sigterm_is_killed(stack, wrapped):
    stack.add(
        "stubborn",
        f"trap '' TERM INT; echo start stubborn >>{stack.events}; while :; do sleep 0.1; done",
        wrapped=wrapped,
        shutdown={"timeout_seconds": 5 if wrapped else 1},
    )
    started = stack.start()
    assert until(lambda: "start stubborn" in stack.said()), stack.why()
    started.terminate()
    started.wait(20)
    assert stack.gone(), stack.why()


FAMILY = """
(trap '' TERM; setsid sleep {0}0 & setsid --fork sleep {0}1; env -i setsid sleep {0}2 &
    nohup sleep {0}3 >/dev/null &)
"""


def family(number: int) -> list[psutil.Process]:
    """Return the `sleep` processes of FAMILY with this number.

    One of them has no environment.
    """
    wanted = [["sleep", f"{number}{member}"] for member in range(4)]
    return [
        process for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"] in wanted
    ]


@pytest.mark.parametrize("how", ["stop", "ends by itself", "kill -9 of the supervisor"])
def test_grandchildren_end_too(stack, how):
    number = free_port()
    start = FAMILY.format(number)
    if how == "ends by itself":
        stack.add("parent", f"{start}; sleep 1; echo start parent >>{stack.events}")
        stack.service("other")
    else:
        stack.service("parent", start)
    started = stack.start()
    assert until(lambda: len(family(number)) == 4), stack.why()
    if how == "stop":
        started.terminate()
    elif how.startswith("kill"):
        started.kill()
    assert until(lambda: not family(number)), stack.why()


@pytest.mark.parametrize("how", ENDS)
def test_a_signal_to_the_supervisor_ends_everything_in_order(stack, how):
    stack.service("first")
    stack.service("second", after={"first": "started"})
    started = stack.start()
    assert until(lambda: "start second" in stack.said()), stack.why()
    os.killpg(started.pid, ENDS[how])
    started.wait(20)
    assert stack.said()[2:] == ["stop second", "stop first"]
    assert stack.gone(), stack.why()


def test_kill_9_of_the_supervisor_leaves_no_process_and_no_port_and_the_next_start_works(stack):
    port = free_port()
    server(stack, "web", port)
    stack.service("after", after={"web": "healthy"})
    started = stack.start()
    assert until(lambda: "start after" in stack.said()), stack.why()
    started.kill()
    started.wait()
    assert stack.gone(), stack.why()
    assert not taken(port)
    assert stack.verdicts() == {}
    stack.start()
    assert until(lambda: stack.verdicts() == {"web": "ready", "after": "ready"}), stack.why()


def test_kill_9_of_the_supervisor_while_services_start_leaves_none(stack):
    """Bug: `loc exec` took init for its supervisor if that was killed early, and its service
    stayed.
    """
    for number in range(4):
        stack.add(f"service-{number}", "sleep 600")
    for after in (0, 0.02, 0.04, 0.08, 0.12):
        started = stack.start()
        assert until(lambda pid=started.pid: len(stack.ours()) > 1 or not psutil.pid_exists(pid)), (
            stack.why()
        )
        time.sleep(after)
        started.kill()
        assert stack.gone(), f"{after} s after the first one: {stack.why()}"


def test_a_service_that_something_stopped_goes_on(stack):
    """Bug: a service that got SIGSTOP answered nobody, and nothing started it again."""
    port = free_port()
    server(stack, "web", port)
    stack.start()
    assert until(lambda: stack.verdicts() == {"web": "ready"}), stack.why()
    wrapper = psutil.Process(stack.states()["web"].pid)
    (child,) = wrapper.children()
    child.suspend()
    assert until(lambda: child.status() != psutil.STATUS_STOPPED), stack.why()
    assert httpx.get(f"http://127.0.0.1:{port}", trust_env=False).status_code == 200
    assert child.is_running() and stack.states()["web"].restarts == 0
    log = stack.folder / "run/logs/web.log"
    assert until(lambda: f"process {child.pid} was stopped" in log.read_text()), stack.why()


@pytest.mark.parametrize("stack", ["runner"], indirect=True)
def test_a_loc_exec_that_something_stopped_goes_on(stack):
    """Only the runner does this; under process-compose, `loc restart` ends the stopped one."""
    stack.service("web")
    stack.start()
    assert until(lambda: stack.verdicts() == {"web": "ready"}), stack.why()
    wrapper = psutil.Process(stack.states()["web"].pid)
    wrapper.suspend()
    assert until(lambda: wrapper.status() != psutil.STATUS_STOPPED), stack.why()


def test_kill_9_of_loc_exec_ends_its_service_before_the_next_one_starts(stack):
    port = free_port()
    server(stack, "web", port)
    stack.start()
    assert until(lambda: stack.verdicts() == {"web": "ready"}), stack.why()
    wrapper = psutil.Process(stack.states()["web"].pid)
    (child,) = wrapper.children()
    wrapper.kill()
    assert until(lambda: not child.is_running()), stack.why()
    assert until(
        lambda: stack.said().count("start web") == 2 and stack.verdicts() == {"web": "ready"}
    ), stack.why()
    assert stack.states()["web"].restarts == 1


@pytest.mark.parametrize("stack", ["runner"], indirect=True)
def test_what_a_killed_loc_exec_left_is_ended_by_the_next_start(stack):
    """Only the runner does this.

    process-compose does not notice an exit while a grandchild keeps the output open.
    """
    orphan = f"sleep 9{free_port()}"
    stack.service("web", f"setsid {orphan} &")
    stack.start()

    def orphans() -> list[int]:
        found = []
        for process in stack.ours():
            with suppress(
                psutil.NoSuchProcess
            ):  # a process may end during the loop; the others are still there
                found += [process.pid] if " ".join(process.cmdline()) == orphan else []
        return found

    assert until(orphans), stack.why()
    (first,) = orphans()
    psutil.Process(stack.states()["web"].pid).kill()
    # Asked once: between two questions the first one ends, and the second one is not there yet.
    assert until(lambda: (pids := orphans()) and first not in pids), stack.why()
    assert len(orphans()) == 1 and stack.states()["web"].restarts == 1


def test_starts_a_part_with_what_it_depends_on(stack):
    for name, after in (("first", {}), ("second", {"first": "started"}), ("third", {})):
        stack.service(name, after=after)
    stack.start("second")
    assert until(
        lambda: stack.verdicts() == {"first": "ready", "second": "ready", "third": "off"}
    ), stack.why()
    assert "start third" not in stack.said()


def test_logs_are_there_at_once_whole_and_with_their_time(stack):
    stack.add(
        "talker",
        "echo to stdout; echo to stderr >&2; printf '%0200000d\\n' 1; echo $LOC_SERVICE; sleep 600",
    )
    stack.start()
    log = stack.folder / "run/logs/talker.log"
    assert until(lambda: log.exists() and "talker\n" in log.read_text()), stack.why()
    lines = sorted(line.partition(" ")[2] for line in log.read_text().splitlines())
    assert lines == sorted(
        ["to stdout", "to stderr", "0" * 199_999 + "1", f"{stack.folder}/run:talker"]
    )


def test_logs_are_rotated(stack):
    log = {**LOG, "rotation": {"max_size_mb": 1, "max_backups": 1}}
    stack.add(
        "talker",
        "yes 0123456789012345678901234567890123456789 | head -50000; echo over; sleep 600",
        log_configuration=log,
    )
    stack.start()
    folder = stack.folder / "run/logs"

    def over() -> bool:
        try:
            return "over" in (folder / "talker.log").read_text()
        except FileNotFoundError:  # not there yet, or rotated at this moment
            return False

    assert until(over)
    sizes = [path.stat().st_size for path in folder.glob("talker*")]
    assert len(sizes) == 2 and max(sizes) <= 1 << 20


def test_the_api_asks_for_the_token_and_its_socket_is_private(stack):
    stack.service("web")
    stack.start()
    assert until(lambda: stack.verdicts() == {"web": "ready"}), stack.why()
    with Client() as client:
        assert client.path.parent.stat().st_mode & 0o777 == 0o700
        transport = httpx.HTTPTransport(uds=str(client.path))
    with httpx.Client(transport=transport, base_url="http://stack") as stranger:
        for method, path in (("GET", "/live"), ("GET", "/processes"), ("POST", "/project/stop")):
            assert stranger.request(method, path).status_code == 401
            assert (
                stranger.request(method, path, headers={"X-PC-Token-Key": "x" * 43}).status_code
                == 401
            )
    assert stack.verdicts() == {"web": "ready"}


def test_all_ends_when_every_process_has(stack):
    stack.add("one", "true", availability={"restart": "no"})
    stack.add("two", "exit 4", availability={"restart": "no"}, after={"one": "completed"})
    assert stack.start().wait(20) == 0
