"""Doctor on the clone: folders, ports, sockets, programs, secrets."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from troubles import findings, is_well, on_path, only, program

from proto_loc import credentials, doctor, services
from proto_loc.ai.chatting import bubblewrap
from proto_loc.doctor.security import is_loopback
from proto_loc.settings import PORTS, ROOT


@pytest.mark.trouble("sandbox", "`chat` in a notebook says that the program was not run")
@pytest.mark.parametrize("restricted", [True, False], ids=["Ubuntu 24.04", "a container"])
def test_bubblewrap_that_gets_no_user_namespace(tmp_path, monkeypatch, restricted: bool):
    """Without a line of doctor, a person of Ubuntu 24.04 learnt it from `chat` alone."""
    said = "echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1"
    on_path(program(tmp_path / "bin/bwrap", said), monkeypatch)
    limit = tmp_path / "limit"
    limit.write_text(f"{int(restricted)}\n")
    monkeypatch.setattr(bubblewrap, "APPARMOR", limit)
    monkeypatch.setattr(bubblewrap, "PYTHON", Path(sys.executable))
    bubblewrap.unavailable.cache_clear()
    try:
        finding = only("sandbox")
    finally:
        bubblewrap.unavailable.cache_clear()
    assert finding.status == "warn" and "Permission denied" in finding.why
    assert ("sudo apparmor_parser" in finding.fix) == restricted


@pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap runs on Linux only")
@pytest.mark.trouble("sandbox", "`chat` in a notebook says that the program was not run")
def test_no_bubblewrap(tmp_path, monkeypatch):
    monkeypatch.setattr(bubblewrap, "PYTHON", Path(sys.executable))
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = only("sandbox")
    assert finding.status == "warn" and "apt-get install bubblewrap" in finding.fix


@pytest.mark.trouble("folders", "A command says that a folder cannot be written")
def test_folder_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LOC_DATA", str(tmp_path / "file/data"))
    with pytest.raises(OSError):
        (tmp_path / "file/data").mkdir()
    assert only("folders").what == f"{tmp_path}/file/data cannot be written."


@pytest.mark.trouble("ports", "`./loc up` says that a port is in use")
def test_taken_port(data, port_prefix, monkeypatch):
    monkeypatch.setenv("LOC_PORT_PREFIX", port_prefix)
    assert [finding.status for finding in findings("ports")] == ["ok"]
    with socket.create_server(("127.0.0.1", int(f"{port_prefix}{PORTS['dagster']}"))):
        finding = only("ports")
    assert finding.status == "fail" and f"pid {os.getpid()}" in finding.why


@pytest.mark.trouble("ports", "Of two clones, the second one does not start")
def test_a_port_of_another_clone(data, port_prefix, monkeypatch):
    monkeypatch.setenv("LOC_PORT_PREFIX", port_prefix)
    port = f"{port_prefix}{PORTS['cube']}"
    code = "import socket, sys; s = socket.create_server(('127.0.0.1', int(sys.argv[1])));"
    with subprocess.Popen(
        [sys.executable, "-c", f"{code} print(flush=True); sys.stdin.read()", port],
        env=os.environ | {services.MARK: "/another/clone/.run:cube"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        other.stdout.readline()
        finding = only("ports")
        other.stdin.close()
    assert "cube of another clone" in finding.why and "/another/clone/.run" in finding.why
    assert "LOC_PORT_PREFIX=" in finding.fix


@pytest.mark.parametrize(
    "version, status",
    [
        ("v1.110.0", "ok"),
        pytest.param(
            *("v1.94.0", "warn"),
            marks=pytest.mark.trouble(
                "process-compose",
                "`./loc up` starts another supervisor than the installed process-compose",
            ),
        ),
    ],
)
def test_process_compose_on_path(tmp_path, monkeypatch, version: str, status: str):
    on_path(program(tmp_path / "process-compose", f"echo {version}"), monkeypatch)
    assert [finding.status for finding in findings("process-compose")] == [status]


@pytest.mark.trouble("sockets", "`process-compose up` cannot open its socket")
def test_long_socket_path(tmp_path, monkeypatch):
    monkeypatch.setenv("LOC_RUN", str(tmp_path / ("x" * 100)))
    assert only("sockets").status == "warn"


@pytest.mark.trouble("sockets", "Programs cannot make temporary files")
@pytest.mark.skipif(sys.platform != "linux", reason="macOS has a TMPDIR that no Nix shell made")
def test_temporary_folder_of_a_nix_shell_that_has_ended(data, monkeypatch):
    monkeypatch.setenv("TMPDIR", "/tmp/nix-shell.gone")
    assert only("sockets").what == "TMPDIR=/tmp/nix-shell.gone is not a folder."


@pytest.mark.trouble("launcher", "The shell refuses to run `./loc`: permission denied")
@pytest.mark.parametrize("name", ["loc", ".ci/run", ".ci/release-notes", ".devcontainer/run"])
def test_script_without_its_mode(root, name: str):
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).touch(mode=0o644)
    finding = only("launcher")
    assert finding.status == "fail" and finding.what.startswith(name)
    assert finding.fix.startswith(f"cd '{root}' && chmod +x loc .ci/* .devcontainer/run")
    repaired = [row.status for _, row in doctor.mend([("launcher", finding)])]
    assert repaired == ["done", "ok"] and os.access(root / name, os.X_OK)


def test_everything_executable_is_named_wherever_a_fork_is_told_to_make_it_so():
    """`nix flake init` copies files without their mode, and a hook or workflow that is not
    executable cannot run.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-s"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    executable = {line.split("\t")[1] for line in listed.splitlines() if line.startswith("100755")}
    patterns = doctor.clone.EXECUTABLES
    assert {
        str(path.relative_to(ROOT)) for name in patterns for path in ROOT.glob(name)
    } == executable
    for page, times in (("nix/template.nix", 1), ("nix/programs.nix", 1), ("docs/nix.md", 1)):
        assert (ROOT / page).read_text().count(f"chmod +x {' '.join(patterns)}\n") + (
            ROOT / page
        ).read_text().count(f'chmod +x {" ".join(patterns)}"') == times, page
    assert f"--chmod=+x {' '.join(patterns)}\n" in (ROOT / "nix/template.nix").read_text()


@pytest.mark.trouble("secrets", "A command says that others can read a secret")
def test_a_secret_that_others_can_read(data):
    path = credentials.path("cube")
    credentials.secret("cube")
    assert [finding.status for finding in findings("secrets")] == ["ok"]
    path.chmod(0o640)
    finding = only("secrets")
    assert str(path) in finding.what and "0640" in finding.why and "chmod 600" in finding.fix
    path.chmod(0o600)
    path.parent.chmod(0o755)
    assert f"{path.parent} is not private" in only("secrets").what
    path.chmod(0o644)
    repaired = [row.status for _, row in doctor.mend(doctor.look(["secrets"]))]
    assert repaired == ["done", "done", "ok"], "both are made private, and all is well"
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


@pytest.mark.trouble("writable", "Other users of the machine can change the data")
def test_a_data_folder_that_everybody_can_write(data):
    data.mkdir(mode=0o700)
    assert is_well("writable")
    data.chmod(0o777)
    finding = only("writable")
    assert finding.status == "fail" and f"chmod o-w '{data}'" == finding.fix
    assert [row.status for _, row in doctor.mend([("writable", finding)])] == ["done", "ok"]
    assert data.stat().st_mode & 0o777 == 0o775, "a group that was let in stays"


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("127.0.0.1", "ok"),
        pytest.param(
            *("0.0.0.0", "fail"),
            marks=pytest.mark.trouble("listeners", "A service can be reached from another machine"),
        ),
    ],
)
def test_a_service_that_listens_off_this_machine(data, address: str, status: str):
    code = (
        "import socket, sys\n"
        "with socket.create_server((sys.argv[1], 0)) as s: print(s.getsockname()[1], flush=True);"
        " sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, address],
        env=os.environ | {services.MARK: services.mark("cube")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        port = child.stdout.readline().strip()
        (finding,) = findings("listeners")
        child.stdin.close()
    assert finding.status == status
    if status == "fail":
        assert f"cube listens on 0.0.0.0, port {port}" in finding.what
        assert str(child.pid) in finding.why


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        *((text, True) for text in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1")),
        *((text, False) for text in ("0.0.0.0", "::", "fe80::1%eth0", "::ffff:192.168.0.7")),
    ],
)
def test_an_address_of_this_machine_alone_is_known_in_any_form(address, expected):
    """Bug: servers of Java, which listen on ::ffff:127.0.0.1, were said to be open to others."""
    assert is_loopback(address) is expected
