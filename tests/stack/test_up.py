"""Tests of ``loc up | down | status | logs`` with each available supervisor."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import closing

import pytest
from dummies import ROOT, until

from proto_loc.services import ports
from proto_loc.settings import PORTS
from proto_loc.setup import node

NAMES = {"runner": "proto_loc.compose runs the processes", "process-compose": "process-compose 1."}


def problems(status) -> list[dict]:
    """The problems of the services in the output of `loc status --json`."""
    return [row for row in json.loads(status.stdout)["problems"] if row["part"] == "services"]


def test_up_status_logs_down(stack):
    stack.add("setup", "echo prepared", availability={"restart": "exit_on_failure"})
    stack.service("web", after={"setup": "completed_successfully"})
    up = stack.loc("up", "-d")
    assert up.returncode == 0, up.stderr + stack.why()
    assert up.stdout.startswith(NAMES[stack.choice])
    assert (
        "setup: done after" in up.stdout
        and "web: ready after" in up.stdout
        and "All is ready." in up.stdout
    )
    again = stack.loc("up")
    assert (again.returncode, again.stdout) == (
        0,
        "The stack of this clone is up already. See ./loc status.\n",
    )
    status = stack.loc("status", "--json")
    assert status.returncode == 0
    services = json.loads(status.stdout)["services"]
    assert {one["name"]: one["verdict"] for one in services} == {
        "setup": "done",
        "web": "ready",
    }
    table = stack.loc("status")
    assert table.returncode == 0 and "Running" in table.stdout
    log = stack.loc("logs", "setup")
    assert log.returncode == 0 and log.stdout.endswith("Z prepared\n")
    down = stack.loc("down")
    assert (down.returncode, down.stdout) == (0, "Everything has ended.\n")
    assert stack.said() == ["start web", "stop web"]
    assert stack.gone()
    assert stack.loc("logs", "setup").stdout == log.stdout
    assert (stack.loc("down").stdout, stack.loc("down").returncode) == ("Nothing was up.\n", 0)
    nothing = stack.loc("status")
    assert nothing.returncode == 1 and nothing.stdout.startswith("Nothing is up.")
    assert json.loads(stack.loc("status", "--json").stdout)["services"] == []


@pytest.mark.slow
def test_status_shows_a_cube_that_serves_an_old_model(stack, port_prefix, monkeypatch, tmp_path):
    """Bug: Cube refused a new model and served the old one, but the status was "ready"."""
    node.install()
    model = tmp_path / "model/one.yml"
    model.parent.mkdir()
    model.write_text(
        "cubes:\n  - { name: one, sql: select 1, measures: [{ name: n, type: count }] }\n"
    )
    monkeypatch.setenv("LOC_PORT_PREFIX", port_prefix)
    monkeypatch.setenv("LOC_CUBE_MODEL", str(model.parent))
    probe = {
        "http_get": {"host": "127.0.0.1", "port": f"{port_prefix}4000", "path": "/readyz"},
        "period_seconds": 1,
    }
    stack.add(
        "cube",
        f"exec {ROOT}/loc exec cube",
        wrapped=False,
        readiness_probe=probe | {"failure_threshold": 60},
    )
    up = stack.loc("up", "-d")
    assert up.returncode == 0 and stack.loc("status").returncode == 0, up.stderr + stack.why()
    model.write_text(model.read_text().replace("count", "cont"))
    status = stack.loc("status")
    assert status.returncode == 1 and "one.yml:2: one cube" in status.stderr, status.stderr
    assert "serves the last good model" in status.stderr
    (state,) = json.loads(stack.loc("status", "--json").stdout)["services"]
    assert state["verdict"] == "ready" and "one.yml:2" in state["problem"], "it is up, and not well"


def test_up_in_the_foreground_shows_the_logs_and_ctrl_c_ends_it(stack):
    stack.service("web", "echo hello from web")
    stack.write()
    with subprocess.Popen(
        [ROOT / "loc", "up"], stdout=subprocess.PIPE, text=True, process_group=0
    ) as up:
        stack.started.append(up)
        said = []
        for line in up.stdout:
            said.append(line)
            if "All is ready." in "".join(said) and "hello from web" in "".join(said):
                break
        os.killpg(up.pid, signal.SIGINT)
        up.stdout.read()
    assert up.returncode == 0, said
    assert stack.said() == ["start web", "stop web"]
    assert stack.gone()


def test_up_names_what_failed_and_shows_the_end_of_its_log(stack):
    stack.add("load", "echo no such month; exit 3", availability={"restart": "no"})
    stack.service("web")
    up = stack.loc("up", "-d")
    assert up.returncode == 1
    log = stack.folder / "run/logs/load.log"
    assert up.stderr.startswith(
        "error: load failed with exit code 3; the others run: ./loc status.\nwhy: load.log ends:\n"
    )
    assert up.stderr.endswith(f"Z no such month\nfix: Mend that; the whole log: {log}\n")
    status = stack.loc("status")
    assert status.returncode == 1 and "failed" in status.stdout and "ready" in status.stdout
    status = stack.loc("status", "--json")
    (problem,) = problems(status)
    assert status.returncode == 1 and problem["what"] == "load failed with exit code 3."
    assert problem["why"].endswith("Z no such month") and "./loc restart load" in problem["fix"]
    stack.loc("down")


def test_what_a_service_says_of_its_trouble_is_shown_and_is_not_ready(stack):
    """Bug: `loc status` showed "ready" while Dagster's code location could not load the project."""
    trouble = stack.folder / "run/web.trouble"
    stack.service("web", f"echo 'models/x.sql, line 3: no such column' >{trouble}")
    up = stack.loc("up", "-d")
    assert until(trouble.exists)
    up = stack.loc("up", "-d") if up.returncode == 0 else up
    assert up.returncode == 1 and "why: models/x.sql, line 3: no such column" in up.stderr, (
        up.stdout + up.stderr
    )
    status = stack.loc("status")
    assert status.returncode == 1 and "web: models/x.sql, line 3: no such column" in status.stdout
    (problem,) = problems(stack.loc("status", "--json"))
    assert problem["why"].strip() == "models/x.sql, line 3: no such column"


def test_up_says_so_when_setup_fails_and_everything_ends(stack):
    stack.add("setup", "echo out of luck; exit 3", availability={"restart": "exit_on_failure"})
    stack.service("web", after={"setup": "completed_successfully"})
    up = stack.loc("up", "-d")
    assert up.returncode == 1
    assert "setup.log ends:\n" in up.stderr and "Z out of luck\nfix: Mend that" in up.stderr
    assert "the others run" not in up.stderr
    assert stack.gone()


def test_up_names_what_is_not_ready_in_time_and_leaves_it_running(stack):
    stack.service("web", readiness_probe={"exec": {"command": "false"}, "failure_threshold": 99})
    up = stack.loc("up", "-d", "--timeout", "2")
    assert up.returncode == 1
    assert "error: web was last seen Running; not ready after 2 s; it goes on" in up.stderr
    assert stack.verdicts() == {"web": "waiting"}


def test_up_only_some(stack):
    for name, after in (("first", {}), ("second", {"first": "started"}), ("third", {})):
        stack.service(name, after=after)
    assert stack.loc("up", "-d", "--only", "second").returncode == 0
    assert stack.verdicts() == {"first": "ready", "second": "ready", "third": "off"}
    assert stack.loc("status").returncode == 0
    rest = stack.loc("up")
    assert rest.returncode == 0, rest.stderr
    assert (
        "starting what is off: third.\nthird: ready" in rest.stdout
        and "All is ready." in rest.stdout
    )
    assert sorted(stack.said(3)) == ["start first", "start second", "start third"]
    stack.loc("down")
    unknown = stack.loc("up", "--only", "second,nosuch")
    assert unknown.returncode == 2 and "error: There is no process 'nosuch'." in unknown.stderr


def test_up_starts_what_failed_and_what_waited_for_it(stack):
    """Bug: `loc up` did not restart failed services, and printed "is up already"."""
    flag = stack.folder / "flag"
    stack.add("load", f"test -e {flag} || exit 3", availability={"restart": "no"})
    stack.service("front", after={"load": "completed_successfully"})
    stack.service("web")
    assert stack.loc("up", "-d").returncode == 1
    assert stack.verdicts() == {"load": "failed", "front": "failed", "web": "ready"}
    flag.touch()
    again = stack.loc("up", "-d")
    assert again.returncode == 0, again.stderr
    assert stack.verdicts() == {"load": "done", "front": "ready", "web": "ready"}
    assert stack.said(2).count("start web") == 1


def test_restart_ends_a_service_and_starts_it_again_alone(stack):
    assert stack.loc("restart", "nosuch").returncode == 2
    stack.service("web")
    stack.service("front", after={"web": "started"})
    nothing = stack.loc("restart", "web")
    assert nothing.returncode == 1 and "error: Nothing is up." in nothing.stderr
    assert stack.loc("up", "-d").returncode == 0
    assert len(stack.said(2)) == 2
    before = stack.states()
    done = stack.loc("restart", "web")
    assert done.returncode == 0, done.stderr + stack.why()
    assert [line for line in stack.said(4) if line.endswith("web")] == [
        "start web",
        "stop web",
        "start web",
    ]
    after = stack.states()
    assert after["front"].pid == before["front"].pid and after["web"].pid != before["web"].pid
    assert set(stack.verdicts().values()) == {"ready"}


def web(stack, port: int) -> None:
    """Add a service with a port and an HTTP readiness probe, as in process-compose.yaml."""
    python = f"exec {ROOT}/.venvs/platform/bin/python -m http.server {port} --bind 127.0.0.1"
    probe = {
        "http_get": {"port": str(port), "path": "/"},
        "period_seconds": 1,
        "failure_threshold": 60,
    }
    stack.add(
        "dagster-web",
        python,
        readiness_probe=probe,
        availability={"restart": "always", "backoff_seconds": 1},
    )


@pytest.mark.slow
def test_what_another_one_answers_makes_no_service_ready(stack, monkeypatch, port_prefix):
    """Bug: `loc up -d` printed "All is ready", although a service could not start.

    Another stack used its port and answered its readiness probe.
    """
    monkeypatch.setenv("LOC_PORT_PREFIX", port_prefix)
    port = int(f"{port_prefix}{PORTS['dagster']}")
    web(stack, port)
    stack.write()
    stack.folder.joinpath("index.html").touch()
    server = [
        sys.executable,
        "-m",
        "http.server",
        str(port),
        "--bind",
        "127.0.0.1",
        "-d",
        stack.folder,
    ]
    with subprocess.Popen(server, stderr=subprocess.DEVNULL, env={}) as other:
        stack.start()  # as an `up` does if the port was free a moment ago
        assert until(lambda: stack.states() and stack.states()["dagster-web"].restarts >= 2), (
            stack.why()
        )
        for _ in range(20):
            assert stack.verdicts() == {"dagster-web": "waiting"}
        again = stack.loc("restart", "dagster-web", "--timeout", "2")
        assert again.returncode == 1 and "All is ready" not in again.stdout
        other.kill()
    ready = stack.loc("restart", "dagster-web")
    assert ready.returncode == 0, ready.stderr + stack.why()


def test_commands_take_the_ports_of_the_stack_that_runs(stack, monkeypatch, port_prefix):
    """Bug: the commands used the ports of the shell's LOC_PORT_PREFIX.

    `loc status`, `loc urls` and the clients must use the ports of the running stack.
    """
    monkeypatch.setenv("LOC_PORT_PREFIX", port_prefix)
    web(stack, int(f"{port_prefix}{PORTS['dagster']}"))
    up = stack.loc("up", "-d")
    assert up.returncode == 0, up.stderr
    link = f"http://127.0.0.1:{port_prefix}{PORTS['dagster']}/?token="
    assert link in up.stdout
    for prefix in ("", "5" if port_prefix != "5" else "4"):
        monkeypatch.setenv("LOC_PORT_PREFIX", prefix)
        assert f"{port_prefix}{PORTS['dagster']}" in stack.loc("status").stdout
        assert link in stack.loc("urls").stdout
        assert "is up already" in stack.loc("up", "-d").stdout
    assert stack.loc("down").returncode == 0
    assert f"http://127.0.0.1:{prefix}{PORTS['dagster']}/" in stack.loc("urls").stdout, (
        "nothing is up"
    )


def test_of_two_at_once_one_starts_and_the_other_says_so(stack):
    stack.service("web", "sleep 1")
    stack.write()
    ups = [
        subprocess.Popen(
            [ROOT / "loc", "up", "-d"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = [up.communicate(timeout=60) for up in ups]
    assert [up.returncode for up in ups] == [0, 0], said
    assert sorted("is up already" in out for out, _ in said) == [False, True], said
    assert stack.said(1) == ["start web"]
    stack.loc("down")


def test_after_kill_9_of_the_supervisor_down_and_up_work_at_once(stack):
    stack.service("web")
    started = stack.start()
    assert until(lambda: "start web" in stack.said()), stack.why()
    started.kill()
    started.wait()
    up = stack.loc("up", "-d")
    assert up.returncode == 0, up.stderr + stack.why()
    assert stack.said(3) == ["start web", "stop web", "start web"]
    assert stack.loc("down").returncode == 0


def test_a_taken_port_is_reported_before_anything_starts(stack, monkeypatch, port_prefix):
    monkeypatch.setenv("LOC_PORT_PREFIX", port_prefix)
    stack.service("dagster-web")
    port = int(f"{port_prefix}{PORTS['dagster']}")
    with closing(socket.create_server(("127.0.0.1", port))):
        up = stack.loc("up", "-d")
    assert up.returncode == 1 and stack.said() == []
    error, why, fix = up.stderr.splitlines()
    assert error == f"error: Port {port} of 127.0.0.1 is taken; nothing was started."
    assert f"pid {os.getpid()} (" in why and f"dagster-web listens on {port}" in why
    # Beside other tests, services may listen under every prefix.
    assert "LOC_PORT_PREFIX=" in fix or all(map(ports._listeners_with, "12345"))


@pytest.mark.parametrize("stack", ["process-compose"], indirect=True)
def test_process_compose_accepts_the_platforms_file(stack):
    done = subprocess.run(
        ["process-compose", "up", "--dry-run"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0 and "Validated" in done.stdout, done.stderr


@pytest.fixture
def short_folder():
    with tempfile.TemporaryDirectory() as folder:
        yield folder


def test_paths_may_be_long_and_relative(stack, monkeypatch, short_folder):
    """A Unix socket's path is limited to about 100 bytes, and a clone's path may be longer."""
    run = stack.folder / ("long-" * 30) / "run"
    run.parent.mkdir()
    monkeypatch.chdir(run.parent)
    monkeypatch.setenv("LOC_RUN", "run")
    monkeypatch.setenv("XDG_RUNTIME_DIR", short_folder)
    stack.add("web", "echo $LOC_RUN; sleep 600", log_location="${LOC_RUN}/logs/web.log")
    stack.write()
    stack.file.write_text(stack.file.read_text().replace("$${LOC_RUN}", "${LOC_RUN}"))
    up = subprocess.run([ROOT / "loc", "up", "-d"], capture_output=True, text=True)
    assert up.returncode == 0, up.stderr
    assert (run / "process-compose.sock").exists()
    assert until(lambda: (run / "logs/web.log").read_text().endswith(f"Z {run}\n"))
    assert stack.loc("down").stdout == "Everything has ended.\n"


def test_a_bad_line_of_the_file_is_named_and_nothing_starts(stack):
    stack.service("web", replicas=2)
    up = stack.loc("up", "-d")
    assert up.returncode == 2
    assert f"error: {stack.file} cannot be run: processes.web.replicas." in up.stderr
    assert stack.said() == []


@pytest.mark.parametrize("stack", ["process-compose"], indirect=True)
def test_process_compose_by_hand_is_the_same_stack(stack, monkeypatch):
    """process-compose starts without options.

    It reads the paths of its socket and token from `.pc_env`, and `loc` finds the socket there.
    """
    run = stack.folder / ".run"
    monkeypatch.setenv("LOC_RUN", str(run))
    shutil.copy(ROOT / ".pc_env", stack.folder)
    stack.service("web")
    stack.write()
    for _ in range(2):  # the second start has a token, which the first `loc` created
        with (stack.folder / "supervisor.out").open("ab") as out:
            by_hand = subprocess.Popen(
                ["process-compose", "up"], cwd=stack.folder, stdout=out, stderr=out
            )
        stack.started.append(by_hand)
        assert until(lambda: stack.verdicts() == {"web": "ready"}), stack.why()
        assert stack.loc("up", "-d").stdout.startswith("The stack of this clone is up already.")
        assert stack.loc("down").stdout == "Everything has ended.\n"
        by_hand.wait(20)
    assert (run / "process-compose.sock").exists() is False
    asked = ["process-compose", "version", "--short"]
    version = subprocess.run(asked, cwd=stack.folder, capture_output=True, text=True)
    assert version.stderr == "", "it prints a debug line where it finds no folder of settings"
    assert '"level":"debug"' not in (stack.folder / "supervisor.out").read_text()
