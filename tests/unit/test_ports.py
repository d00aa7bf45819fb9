"""Tests of the error about a port in use: it names the process and the solution."""

import os
import socket
import subprocess
import sys
from contextlib import closing

import pytest
from tenacity import Retrying, stop_after_delay, wait_fixed

from proto_loc import services
from proto_loc.errors import LocError
from proto_loc.services import ports
from proto_loc.settings import port_setting

LISTEN = """
import socket, time
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
time.sleep(60)
"""


@pytest.fixture
def listen(tmp_path, monkeypatch):
    """Starts a process with this mark that listens on the port of Dagster.

    No port with a prefix is in use. The other services have ports that nobody listens on, as the
    clone may be up.
    """
    monkeypatch.setenv("LOC_RUN", str(tmp_path / "run"))
    monkeypatch.delenv("LOC_PORT_PREFIX", raising=False)
    for number, name in enumerate(ports.PORTS, start=20_011):
        monkeypatch.delenv(port_setting(name), raising=False)
        monkeypatch.setitem(ports.PORTS, name, number)
    started = []

    def start(mark: str) -> subprocess.Popen:
        env = os.environ | {services.MARK: mark}
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", LISTEN], env=env, stdout=subprocess.PIPE, text=True
            )
        )
        port = int(started[0].stdout.readline())
        monkeypatch.setitem(ports.PORTS, "dagster", port)
        return started[0]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def refusal(names=("setup", "dagster-web")) -> LocError:
    with pytest.raises(LocError) as refused:
        ports.check(names)
    return refused.value


def test_a_taken_port_is_named_with_pid_command_and_the_way_out(listen):
    process = listen("")
    said = refusal()
    port = ports.PORTS["dagster"]
    assert said.what == f"Port {port} of 127.0.0.1 is taken; nothing was started."
    assert said.why.startswith(
        f"dagster-web listens on {port}, and there is pid {process.pid} ({sys.executable} -c "
    )
    assert said.fix.startswith("End it")


def test_another_clones_service_is_called_so(listen):
    process = listen("/elsewhere/.run:jupyter")
    assert refusal().why.endswith(
        f"there is jupyter of another clone, pid {process.pid}, whose run folder is"
        " /elsewhere/.run."
    )


def test_this_clones_own_services_are_no_obstacle(listen):
    listen(services.mark("dagster-web"))
    ports.check(services.SERVICES)


def test_services_that_do_not_start_need_no_port(listen):
    listen("")
    ports.check(["setup", "dagster-daemon"])


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::"])
def test_a_listener_on_every_address_counts(address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        server = socket.create_server((address, 0), family=family)
    except OSError as error:
        pytest.skip(f"cannot listen on {address}: {error.strerror}")
    with closing(server):
        port = server.getsockname()[1]
        (found,) = ports.listeners([port])
        assert (found.port, found.pid) == (port, os.getpid())
    # A program that this process starts meanwhile has the socket, too, until it runs.
    for attempt in Retrying(stop=stop_after_delay(5), wait=wait_fixed(0.1), reraise=True):
        with attempt:
            assert ports.listeners([port]) == []


@pytest.mark.parametrize(
    ("taken", "way"),
    [("", "=1 ./loc up"), ("1", "=2 ./loc up"), ("124", "=3 ./loc up"), ("12345", "End it.")],
)
def test_the_way_out_is_a_prefix_whose_ports_are_all_free(monkeypatch, taken, way):
    monkeypatch.delenv("LOC_PORT_PREFIX", raising=False)
    busy = {3000, *(int(f"{prefix}8888") for prefix in taken)}

    def listeners(asked):
        return [ports.Listener(port, 1, "other", "") for port in asked if port in busy]

    monkeypatch.setattr(ports, "listeners", listeners)
    assert way in refusal().fix
