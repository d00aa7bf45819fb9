"""Tests of the choice of the process supervisor, and of its download."""

import hashlib
import io
import os
import platform
import subprocess
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from proto_loc.compose import keeper, stack, supervisor
from proto_loc.compose.client import Client, State
from proto_loc.errors import LocError, UsageError
from proto_loc.settings import ROOT, spare_loopback
from proto_loc.setup import environments
from proto_loc.standins.process_compose import model

PROGRAM = b"#!/bin/sh\necho v1.122.0\n"


def archive(*members: tuple[str, bytes | str]) -> bytes:
    """Return a tar.gz; a member with a text is a symbolic link to that path."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as packed:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                packed.addfile(member)
            else:
                member.size = len(content)
                packed.addfile(member, io.BytesIO(content))
    return made.getvalue()


RELEASE = archive(("LICENSE", b"text"), ("../evil", b"evil"), ("process-compose", PROGRAM))


@pytest.fixture
def releases():
    """A local server of releases: its address, its content, and the paths of its requests."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200 if given else 404)
            self.end_headers()
            self.wfile.write(given[0] if given else b"")

        def log_message(self, *_):
            pass

    given, asked = [RELEASE], []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", given, asked
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def clone(tmp_path, monkeypatch):
    """A clone without process-compose on PATH; its golden.toml pins the release above."""
    monkeypatch.delenv("LOC_COMPOSE", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(supervisor, "ROOT", tmp_path)
    golden = environments.golden()
    pinned = golden["tools"]["process-compose"]
    pinned["sha256"] = dict.fromkeys(pinned["sha256"], hashlib.sha256(RELEASE).hexdigest())
    monkeypatch.setattr(supervisor, "golden", lambda: golden)
    return tmp_path


def on_path(clone, version: str) -> str:
    program = clone / "bin/process-compose"
    program.write_text(f"#!/bin/sh\necho {version}\n")
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize("version", ["v1.110.0", "v1.122.0", "v2.0.1", "1.130"])
def test_the_one_on_path_is_used_if_new_enough(clone, releases, version):
    program = on_path(clone, version)
    found = supervisor.choose(releases[0])
    assert (str(found.program), found.why) == (program, f"from PATH, {program}")
    assert found.name == f"process-compose {version.removeprefix('v')}"
    assert found.command(clone / "file", ("a", "b")) == [
        program,
        "up",
        "--config",
        str(clone / "file"),
        "a",
        "b",
    ]


@pytest.mark.parametrize("version", ["v1.94.0", "v1.9.0", "undefined", ""])
def test_an_older_one_is_not(clone, releases, version):
    on_path(clone, version)
    found = supervisor.choose(releases[0])
    assert found.program == clone / ".tools/process-compose-1.122.0"
    assert (
        "older than 1.110" in found.why
        and "fetched from 127.0.0.1 and checked by its SHA-256" in found.why
    )


def test_the_release_is_fetched_once_and_nothing_else_of_it_is_unpacked(clone, releases):
    address, _, asked = releases
    found = supervisor.choose(address)
    assert found.program.read_bytes() == PROGRAM
    assert supervisor.choose(address).why.endswith(f"the pinned release, {found.program}")
    system = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    assert asked == [f"/v1.122.0/process-compose_{platform.system().lower()}_{system}.tar.gz"]
    assert [path.name for path in (clone / ".tools").iterdir()] == ["process-compose-1.122.0"]
    assert not (clone / "evil").exists()


def test_another_checksum_is_an_error_and_no_reason_to_do_without(clone, releases):
    releases[1][0] = RELEASE + b"!"
    with pytest.raises(LocError, match="not the release that golden.toml pins") as refused:
        supervisor.choose(releases[0])
    assert hashlib.sha256(RELEASE + b"!").hexdigest() in refused.value.why
    assert list((clone / ".tools").iterdir()) == []


def test_a_release_whose_program_is_a_link_is_refused(clone, releases, monkeypatch):
    releases[1][0] = bad = archive(("process-compose", "/bin/sh"))
    pinned = supervisor.golden()["tools"]["process-compose"]
    pinned["sha256"] = dict.fromkeys(pinned["sha256"], hashlib.sha256(bad).hexdigest())
    with pytest.raises(LocError, match="contains no program"):
        supervisor.choose(releases[0])
    assert list((clone / ".tools").iterdir()) == []


@pytest.mark.parametrize("why", ["nothing listens", "it is not there"])
def test_where_it_cannot_be_had_the_runner_takes_its_place(clone, releases, why):
    address = "http://127.0.0.1:9" if why == "nothing listens" else releases[0]
    releases[1].clear()
    found = supervisor.choose(address)
    assert (found.name, found.program) == ("proto_loc.compose", None)
    assert found.why.startswith(
        "no process-compose on PATH; release 1.122.0 cannot be fetched from 127.0.0.1 ("
    )
    assert found.command(clone / "file")[1:4] == ["-P", "-m", "proto_loc.compose"]


@pytest.mark.parametrize(
    "proxy", ["socks5://127.0.0.1:9", "what://127.0.0.1:9", "http://[::1", "http://127.0.0.1:9"]
)
def test_a_proxy_that_cannot_be_used_keeps_nothing_from_starting(clone, monkeypatch, proxy):
    """Bug: with `ALL_PROXY=socks5://...`, `loc up`, `status` and `down` ended with an
    ImportError.
    """
    monkeypatch.setenv("ALL_PROXY", proxy)
    monkeypatch.setenv("LOC_RUN", str(clone / "run"))
    with Client() as client:
        assert not client.alive() and client.processes() == []
    found = supervisor.choose("https://releases.invalid")
    assert found.program is None and "cannot be fetched from releases.invalid (" in found.why


def test_no_proxy_stands_between_the_services_of_this_machine():
    given = {"NO_PROXY": "example.org,localhost", "https_proxy": "http://proxy:3128"}
    spare_loopback(given)
    assert given["no_proxy"] == given["NO_PROXY"] == "example.org,localhost,127.0.0.1,::1"
    for already in ({"HOME": "/root"}, {"no_proxy": "*", "ALL_PROXY": "socks5://proxy"}):
        given = dict(already)
        spare_loopback(given)
        assert given == already
    given = {"all_proxy": "socks://proxy:1080", "https_proxy": "http://proxy:3128", "no_proxy": "*"}
    spare_loopback(given)
    assert "all_proxy" not in given and given["https_proxy"] == "http://proxy:3128"


def test_one_may_be_asked_for(clone, releases, monkeypatch):
    on_path(clone, "v1.122.0")
    monkeypatch.setenv("LOC_COMPOSE", "runner")
    assert supervisor.choose(releases[0]).program is None
    monkeypatch.setenv("LOC_COMPOSE", "release")
    assert supervisor.choose(releases[0]).program == clone / ".tools/process-compose-1.122.0"
    (clone / "bin/process-compose").unlink()
    monkeypatch.setenv("LOC_COMPOSE", "path")
    with pytest.raises(LocError, match="no process-compose on PATH"):
        supervisor.choose(releases[0])
    monkeypatch.setenv("LOC_COMPOSE", "docker")
    with pytest.raises(UsageError, match="Choose from: path, release, runner"):
        supervisor.choose(releases[0])


def test_a_stack_that_ended_names_the_process_that_ran(monkeypatch, tmp_path):
    """A port of another clone ended `setup`; the message was once that Cube was pending."""
    monkeypatch.setenv("LOC_RUN", str(tmp_path))
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/setup.log").write_text("error: Port 8088 of 127.0.0.1 is taken.\n")
    states = [
        State("cube", "Pending", "-", False, False, 0, 0, 0, 0),
        State("setup", "Running", "-", False, True, 0, 0, 4711, 3),
    ]
    message = stack._failure(states, "everything has ended").said()
    assert "setup was last seen Running; everything has ended" in message
    assert "Port 8088 of 127.0.0.1 is taken" in message and "cube" not in message


def test_a_stopped_child_is_continued_also_if_nobody_reads_what_is_said_of_it():
    """Bug: the launcher ended with a BrokenPipeError, and its child stayed stopped."""
    program = """
import os, signal, sys, time
from proto_loc.services import launch
child = os.fork()
if not child:
    os.kill(os.getpid(), signal.SIGSTOP)
    os._exit(7)
while (code := launch._reap(child)) is None:
    time.sleep(0.01)
os._exit(code)
"""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            stdout=writing,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    finally:
        os.close(writing)
    assert done.returncode == 7, done.stderr.decode()


def test_a_keeper_starts_what_was_started_since(tmp_path, monkeypatch):
    """Bug: after `up -d --only a` and `up -d`, a supervisor that was killed came back with `a`."""
    monkeypatch.setenv("LOC_RUN", str(tmp_path / "run"))
    program = tmp_path / "program"
    program.write_text(f'#!/bin/sh\necho "$@" >>"{tmp_path}/words"\n')
    program.chmod(0o755)
    fake = supervisor.Supervisor("a program", program, "it ends at once")
    monkeypatch.setattr(supervisor, "choose", lambda: fake)
    with pytest.raises(LocError, match="The supervisor ended with status 0"):
        stack.up(("setup",), detach=True, timeout=20)
    stack._keep(("home", "setup"))
    subprocess.run(keeper.command(stack._names_kept(), [str(program)]), check=True, timeout=60)
    stack._keep(())
    stack._keep(("home",))
    subprocess.run(keeper.command(stack._names_kept(), [str(program)]), check=True, timeout=60)
    words = (tmp_path / "words").read_text().splitlines()
    assert words == [f"up --config {model.file()} setup", "home setup", ""]


def test_a_supervisor_that_cannot_be_started_again_is_tried_again(tmp_path):
    """Bug: the keeper ended with a traceback where the system refused it a new process."""
    program, away, names = (tmp_path / name for name in ("supervisor", "away", "names"))
    names.touch()
    program.write_text(f'#!/bin/sh\nmv "$0" "{away}"\nsleep 0.3\nkill -9 $$\n')
    program.chmod(0o755)
    keeping = (
        "import pathlib, sys; from proto_loc.compose import keeper;"
        " keeper.STEADY, keeper.PAUSE = 0.2, 0.2;"
        " sys.exit(keeper.main(pathlib.Path(sys.argv[1]), sys.argv[2:]))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", keeping, str(names), str(program)],
        cwd=ROOT,
        env=os.environ | {"LOC_RUN": str(tmp_path / "run")},
        stderr=subprocess.PIPE,
        text=True,
    ) as kept:
        lines = [kept.stderr.readline() for _ in range(2)]
        away.write_text("#!/bin/sh\nexit 0\n")
        away.rename(program)
        assert kept.wait(60) == 0, kept.stderr.read()
    assert lines == [
        "loc: the supervisor has ended (-9): it is started again\n",
        "loc: the supervisor cannot be started: No such file or directory: it is started again\n",
    ]
