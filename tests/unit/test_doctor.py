"""Tests of ``loc doctor``: each check finds its problem and names the fix."""

import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
from collections import namedtuple
from pathlib import Path

import pytest
from clones import borrowing_clone

from proto_loc import credentials, doctor, services
from proto_loc.ai.chatting import bubblewrap
from proto_loc.cli import main
from proto_loc.errors import LocError
from proto_loc.settings import PORTS, ROOT
from proto_loc.setup import environments
from proto_loc.setup.environments import golden


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch):
    """Remove the environment variables that would make a check fail."""
    for name in ("LOC_PYTHON", "LOC_UV", "LOC_LIBRARY_PATH", "LD_LIBRARY_PATH", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder that the checks use in place of the clone."""
    for module in (doctor.clone, doctor.nix):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    return tmp_path


def found(check: str) -> list[doctor.Finding]:
    return [finding for name, finding in doctor.look() if name == check]


def only(check: str) -> doctor.Finding:
    """Return the only finding of a check that is not ok, and assert that it has a fix."""
    (finding,) = (finding for finding in found(check) if finding.status != "ok")
    assert finding.why and finding.fix
    return finding


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def on_path(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(path.parent), prepend=os.pathsep)


def test_this_clone_is_well_and_every_check_says_something(data):
    findings = list(doctor.look())
    assert [
        finding for name, finding in findings if finding.status == "fail" and name != "ports"
    ] == []
    silent = set(doctor.CHECKS) - {name for name, _ in findings}
    assert silent <= {"loader", "launcher", "store"}, "they speak of what is wrong alone"


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


def test_old_python(monkeypatch):
    monkeypatch.setattr(platform, "python_version", lambda: "3.12.1")
    assert only("python").what == "The platform runs on Python 3.12.1."


def test_python_that_is_asked_for_and_gone(monkeypatch):
    monkeypatch.setenv("LOC_PYTHON", "/nix/store/gone/bin/python3.11")
    finding = only("python")
    assert finding.status == "fail" and "/nix/store/gone/bin/python3.11" in finding.what


def test_no_uv(root, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    assert golden()["tools"]["uv"] in only("uv").what


@pytest.mark.parametrize("version, ok", [("0.13.1", True), ("0.4.1", False)])
def test_uv_on_path(root, tmp_path, monkeypatch, version: str, ok: bool):
    on_path(program(tmp_path / "bin/uv", f"echo uv {version}"), monkeypatch)
    assert [finding.status for finding in found("uv")] == ["ok" if ok else "warn"]


@pytest.mark.parametrize("version, status", [("0.13.9", "ok"), ("0.13.8", "fail")])
def test_a_fetched_uv_that_is_another_than_its_name_says(
    root, monkeypatch, version: str, status: str
):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    (root / "locks").mkdir()
    (root / "locks/uv.txt").write_text("uv==0.13.9 \\\n")
    program(root / ".tools/uv-0.13.9", f"echo uv {version}")
    assert [finding.status for finding in found("uv")] == [status]


@pytest.mark.parametrize(
    "version, status", [("0.13.99", "ok"), ("0.11.25", "fail"), ("nonsense", "fail")]
)
def test_uv_of_the_nix_shell(tmp_path, monkeypatch, version: str, status: str):
    monkeypatch.setenv("LOC_UV", str(program(tmp_path / "uv", f"echo 'uv {version} (x)'")))
    assert [finding.status for finding in found("uv")] == [status]


def test_uv_of_a_nix_shell_that_is_gone(monkeypatch):
    monkeypatch.setenv("LOC_UV", "/nix/store/gone/bin/uv")
    assert only("uv").what == "LOC_UV=/nix/store/gone/bin/uv is not a program."


@pytest.fixture
def environment(root: Path) -> Path:
    """An environment ``.venvs/platform`` with a stamp in the format of the launcher."""
    shutil.copytree(ROOT / "locks", root / "locks")
    folder = root / ".venvs/platform"
    program(folder / "bin/python", "")
    sums = subprocess.run(
        ["cksum", "locks/platform.txt", "locks/build.txt", "locks/uv.txt"],
        cwd=root,
        capture_output=True,
        text=True,
    )
    (folder / ".stamp").write_text(
        f"{sums.stdout.strip()} {root}\n/a/python\n/lent\n".replace("txt\n", "txt ", 2)
    )
    return folder


def test_environment_in_sync(environment):
    assert {finding.status for finding in found("environments")} == {"ok"}


def test_an_environment_that_no_source_needs(environment):
    said = ".venvs/dlt is not needed yet: it is only for `proto_loc.sources.dlt`"
    assert found("environments")[-1].what == said


def test_an_environment_that_a_source_needs(environment, root, monkeypatch):
    monkeypatch.setattr(environments, "ROOT", root)
    shutil.copy(ROOT / "golden.toml", root)
    source = root / "pipelines/shop/__init__.py"
    source.parent.mkdir(parents=True)
    source.write_text("from proto_loc.sources.dlt import DltSource\n")
    assert environments.needed() == [*environments.needed()[:3], "dlt"]
    said = "is not installed yet; its first use installs it"
    assert found("environments")[-1].what == f".venvs/dlt {said}"


def test_the_stamp_of_the_launcher_is_read():
    assert found("environments")[0].what == ".venvs/platform matches locks/platform.txt"


@pytest.mark.parametrize(
    "change, why",
    [
        (lambda folder, _: (folder / ".stamp").unlink(), "interrupted"),
        (
            lambda folder, _: (folder / "../../locks/platform.txt").write_text("x"),
            "A lock has changed",
        ),
        (lambda folder, _: (folder / "bin/python").unlink(), "/a/python, is gone"),
        (
            lambda _, monkeypatch: monkeypatch.setenv("LOC_PYTHON", "/b/python"),
            "now LOC_PYTHON=/b/python",
        ),
        (
            lambda _, monkeypatch: monkeypatch.setenv("LOC_LIBRARY_PATH", "/else"),
            "now LOC_LIBRARY_PATH=/else",
        ),
    ],
    ids=["stamp", "lock", "interpreter", "other python", "other libraries"],
)
def test_environment_out_of_sync(environment, monkeypatch, change, why: str):
    change(environment, monkeypatch)
    finding = only("environments")
    assert why in finding.why and finding.fix == "./loc setup platform"


def test_folder_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LOC_DATA", str(tmp_path / "file/data"))
    with pytest.raises(OSError):
        (tmp_path / "file/data").mkdir()
    assert only("folders").what == f"{tmp_path}/file/data cannot be written."


@pytest.mark.parametrize("free, status", [(10 * 2**30, "ok"), (2 * 2**30, "warn"), (2**20, "fail")])
def test_disk_space(data, monkeypatch, free: int, status: str):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(2**40, 0, free))
    assert {finding.status for finding in found("space")} == {status}


def test_taken_port(data, port_prefix, monkeypatch):
    monkeypatch.setenv("LOC_PORT_PREFIX", port_prefix)
    assert [finding.status for finding in found("ports")] == ["ok"]
    with socket.create_server(("127.0.0.1", int(f"{port_prefix}{PORTS['dagster']}"))):
        finding = only("ports")
    assert finding.status == "fail" and f"pid {os.getpid()}" in finding.why


@pytest.mark.parametrize("version, status", [("v1.110.0", "ok"), ("v1.94.0", "warn")])
def test_process_compose_on_path(tmp_path, monkeypatch, version: str, status: str):
    on_path(program(tmp_path / "process-compose", f"echo {version}"), monkeypatch)
    assert [finding.status for finding in found("process-compose")] == [status]


def test_long_socket_path(tmp_path, monkeypatch):
    monkeypatch.setenv("LOC_RUN", str(tmp_path / ("x" * 100)))
    assert only("sockets").status == "warn"


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has a TMPDIR that no Nix shell made")
def test_temporary_folder_of_a_nix_shell_that_has_ended(data, monkeypatch):
    monkeypatch.setenv("TMPDIR", "/tmp/nix-shell.gone")
    assert only("sockets").what == "TMPDIR=/tmp/nix-shell.gone is not a folder."


def test_exported_libraries(monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", "/nix/store/x/lib")
    assert only("libraries").what == "LD_LIBRARY_PATH=/nix/store/x/lib is exported."


def test_libraries_that_are_gone(tmp_path, monkeypatch):
    monkeypatch.setenv("LOC_LIBRARY_PATH", f"{tmp_path}:/nix/store/gone/lib")
    assert only("libraries").what == "LOC_LIBRARY_PATH names /nix/store/gone/lib."


@pytest.mark.parametrize("loader, status", [("ld.so", "ok"), ("stub-ld", "warn"), ("", "warn")])
def test_loader_of_nixos(tmp_path, monkeypatch, loader: str, status: str):
    mark, path = tmp_path / "NIXOS", tmp_path / "ld-linux"
    mark.touch()
    if loader:
        (tmp_path / loader).touch()
        path.symlink_to(tmp_path / loader)
    monkeypatch.setattr(doctor.nix, "NIXOS", mark)
    monkeypatch.setattr(doctor.nix, "LOADER", path)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert [finding.status for finding in found("loader")] == [status]


@pytest.mark.parametrize("name", ["loc", ".ci/run", ".ci/release-notes", ".devcontainer/run"])
def test_script_without_its_mode(root, name: str):
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).touch(mode=0o644)
    finding = only("launcher")
    assert finding.status == "fail" and finding.what.startswith(name)
    assert finding.fix.startswith(f"cd '{root}' && chmod +x loc .ci/* .devcontainer/run")


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


@pytest.mark.parametrize(
    "script, lacks",
    [
        ("echo 'experimental-features = flakes nix-command'", ""),
        ("echo 'experimental-features = nix-command'", "flakes"),
        ("exit 1", "flakes and nix-command"),
    ],
)
def test_nix_features(tmp_path, monkeypatch, script: str, lacks: str):
    on_path(program(tmp_path / "nix", script), monkeypatch)
    if lacks:
        assert only("nix").what == f"Nix has {lacks} turned off."
    else:
        assert [finding.status for finding in found("nix")] == ["ok"]


def test_nix_that_this_shell_has_not_found(root, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    (tmp_path / "profile.sh").touch()
    monkeypatch.setattr(doctor.nix, "PROFILE", tmp_path / "profile.sh")
    assert only("nix").what == "Nix is installed, but not on PATH."


@pytest.mark.parametrize(
    "script, why",
    [
        ("exit 0", ""),
        (
            """[ "$4" = info ] ||
            { echo "error: 'ping' is not a recognised command" >&2; exit 1; }""",
            "",
        ),
        (
            "echo 'error: cannot connect to socket: refused' >&2; exit 1",
            "cannot connect to socket: refused",
        ),
        ("exit 1", "It does not answer."),
    ],
    ids=["old", "new", "no daemon", "silent"],
)
def test_store_of_nix(tmp_path, monkeypatch, script: str, why: str):
    monkeypatch.setenv("NIX_STATE_DIR", str(tmp_path))
    on_path(program(tmp_path / "bin/nix", script), monkeypatch)
    if why:
        assert only("store").why == why
    else:
        assert [finding.status for finding in found("store")] == ["ok"]


@pytest.mark.skipif(
    not shutil.which("nix") or os.geteuid() != 0,
    reason="the real Nix, as another user than its owner",
)
@pytest.mark.parametrize("user, status", [(0, "ok"), (65534, "fail")])
def test_store_that_belongs_to_another_user(monkeypatch, user: int, status: str):
    """The test runs the real Nix.

    A user without a daemon cannot use the Nix store of another user.
    """
    nix = shutil.which("nix")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        Path(folder, "state").mkdir()
        for name in ("STORE", "STATE", "LOG"):
            monkeypatch.setenv(f"NIX_{name}_DIR", f"{folder}/{name.lower()}")
        as_user = f'exec setpriv --reuid={user} --regid={user} --clear-groups {nix} "$@"'
        on_path(program(Path(folder, "bin/nix"), as_user), monkeypatch)
        assert [finding.status for finding in found("store")] == [status]


def test_the_space_of_nix_is_looked_at(data, tmp_path, monkeypatch):
    on_path(program(tmp_path / "bin/nix", ""), monkeypatch)
    exists = Path.exists
    monkeypatch.setattr(
        Path, "exists", lambda path, **more: str(path) == "/nix" or exists(path, **more)
    )
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: usage(2**40, 0, 0 if str(path) == "/nix" else 2**40)
    )
    assert only("space").what == "0.0 GiB are free at /nix."


@pytest.fixture
def repository(root: Path) -> Path:
    """A git repository that tracks all the files that the flake needs."""
    for name in ("flake.nix", "flake.lock", "golden.toml", "nix/shell.nix"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    subprocess.run("git init --quiet && git add .", shell=True, cwd=root, check=True)
    return root


@pytest.mark.parametrize("ignored", [False, True], ids=["untracked", "ignored"])
@pytest.mark.parametrize("name", ["flake.lock", "golden.toml", "nix/shell.nix", "nix/new.nix"])
def test_file_that_the_flake_needs_and_git_does_not_track(repository, name: str, ignored: bool):
    assert [finding.status for finding in found("tracked")] == ["ok"]
    subprocess.run(
        ["git", "rm", "--quiet", "--cached", "--ignore-unmatch", name], cwd=repository, check=True
    )
    (repository / name).touch()
    (repository / "note.txt").touch()
    if ignored:
        (repository / ".gitignore").write_text(name)
    finding = only("tracked")
    assert (finding.status, finding.what) == ("fail", f"Git does not track {name}.")
    assert finding.fix == f"git add {name} (with --force where it is ignored)"


def test_file_that_the_flake_needs_and_is_gone(repository):
    subprocess.run(["git", "rm", "--quiet", "-f", "flake.lock"], cwd=repository, check=True)
    assert only("tracked").fix == "git checkout HEAD -- flake.lock"


def test_no_git_is_not_no_repository(repository, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    assert only("tracked").what == "git is not on PATH."


def test_a_repository_that_git_does_not_trust_is_not_no_repository(repository, monkeypatch):
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    finding = only("tracked")
    assert finding.what == f"git cannot read {repository}." and "dubious ownership" in finding.why
    assert f"safe.directory {repository}" in finding.fix


def test_no_repository(root):
    assert only("tracked").fix == "git init && git add ."


def test_what_a_check_stumbles_over_is_a_finding(monkeypatch):
    def broken():
        raise LocError("It broke.", "So.", "Mend it.")
        yield

    monkeypatch.setattr(doctor, "CHECKS", {"broken": broken})
    assert list(doctor.look()) == [
        ("broken", doctor.Finding("fail", "It broke.", "So.", "Mend it."))
    ]


@pytest.mark.parametrize("status, code", [("ok", 0), ("warn", 0), ("fail", 1)])
def test_command(monkeypatch, capsys, status: str, code: int):
    checks = {"one": lambda: iter([doctor.Finding(status, "What [x].", "Why.", "Fix.", "Seen.")])}
    monkeypatch.setattr(doctor, "CHECKS", checks)
    assert main(["doctor", "--json"]) == code
    assert json.loads(capsys.readouterr().out) == [
        {
            "check": "one",
            "status": status,
            "what": "What [x].",
            "why": "Why.",
            "fix": "Fix.",
            "symptom": "Seen.",
        }
    ]
    assert main(["doctor"]) == code
    said = capsys.readouterr().out
    assert said.startswith(f"{status:<4} one ") and "What [x]." in said and "fix: Fix." in said


def doctor_of(clone: Path, **env: str) -> dict[tuple[str, str], str]:
    """Run ``./loc doctor`` in a clone; return the text of each finding by check and status."""
    done = subprocess.run(
        [clone / "loc", "doctor", "--json"], env=os.environ | env, capture_output=True, text=True
    )
    assert (done.returncode in (0, 1), done.stderr) == (True, ""), done.stderr
    return {
        (finding["check"], finding["status"]): finding["what"] + finding["why"]
        for finding in json.loads(done.stdout)
    }


@pytest.mark.parametrize(
    "env, check, said",
    [
        ({"LOC_PYTHON": "/nix/store/gone/bin/python3.11"}, ("python", "fail"), "is not a program"),
        (
            {"LOC_PYTHON": "/nix/store/gone/bin/python3.11"},
            ("environments", "warn"),
            "now LOC_PYTHON=",
        ),
        (
            {"LOC_LIBRARY_PATH": "/nix/store/gone/lib"},
            ("libraries", "fail"),
            "Nix has collected it",
        ),
        (
            {"LOC_LIBRARY_PATH": "/nix/store/gone/lib"},
            ("environments", "warn"),
            "now LOC_LIBRARY_PATH=",
        ),
        ({}, ("environments", "warn"), "set-up was interrupted"),
    ],
)
def test_the_command_sees_what_set_up_would_stumble_over_and_changes_nothing(
    tmp_path, data, env: dict, check: tuple[str, str], said: str
):
    """Bug: ``./loc doctor`` first ran the set-up, which failed on the fault, or repaired it before
    doctor could report it.
    """
    borrowing_clone(
        tmp_path,
        "proto_loc",
        "loc",
        "pyproject.toml",
        "golden.toml",
        "locks",
        "process-compose.yaml",
    )
    stamp = tmp_path / ".venvs/platform/.stamp"
    if env:
        sums = subprocess.check_output(
            ["cksum", "locks/platform.txt", "locks/build.txt", "locks/uv.txt"],
            cwd=tmp_path,
            text=True,
        )
        stamp.write_text(
            f"{sums.strip()} {tmp_path}\n/a/python\n/lent\n".replace("txt\n", "txt ", 2)
        )
    before = stamp.read_text() if env else None
    assert said in doctor_of(tmp_path, **env)[check]
    assert (stamp.read_text() if stamp.exists() else None) == before


def test_a_secret_that_others_can_read(data):
    path = credentials.path("cube")
    credentials.secret("cube")
    assert [finding.status for finding in found("secrets")] == ["ok"]
    path.chmod(0o640)
    finding = only("secrets")
    assert str(path) in finding.what and "0640" in finding.why and "chmod 600" in finding.fix
    path.chmod(0o600)
    path.parent.chmod(0o755)
    assert f"{path.parent} is not private" in only("secrets").what


@pytest.mark.parametrize(("address", "status"), [("127.0.0.1", "ok"), ("0.0.0.0", "fail")])
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
        (finding,) = found("listeners")
        child.stdin.close()
    assert finding.status == status
    if status == "fail":
        assert f"cube listens on 0.0.0.0, port {port}" in finding.what
        assert str(child.pid) in finding.why


@pytest.fixture
def packages(tmp_path, monkeypatch) -> Path:
    """The packages of an environment ``platform`` whose lock names ``one`` and ``two-a``."""
    monkeypatch.setattr(doctor.versions, "ROOT", tmp_path)
    monkeypatch.setattr(doctor.versions, "names", lambda: ["platform"])
    monkeypatch.setenv("LOC_ENVIRONMENTS", str(tmp_path / ".venvs"))
    folder = tmp_path / ".venvs/platform/lib/python3.11/site-packages"
    for name in ("one-1.0", "Two_A-2.0"):
        (folder / f"{name}.dist-info").mkdir(parents=True)
    (tmp_path / ".venvs/platform/.stamp").touch()
    (tmp_path / "locks").mkdir()
    lock = "one==1.0 \\\n    --hash=x\ntwo-a==2.0 ; python_version < '3.12' \\\ntwo-a==3.0\n"
    (tmp_path / "locks/platform.txt").write_text(lock)
    return folder


def test_a_package_of_another_version_than_the_lock_names(packages):
    assert [finding.status for finding in found("versions")] == ["ok"]
    (packages / "one-1.0.dist-info").rename(packages / "one-1.1.dist-info")
    (packages / "three-3.dist-info").mkdir()
    finding = only("versions")
    assert "one 1.1 (locked: 1.0), three 3 (not locked)" in finding.what
    assert finding.fix.startswith("Set it to a folder from these locks, which nix build")


def test_a_change_of_shared_files_is_seen_in_an_environment_that_exists(packages, monkeypatch):
    for name, text in (("one-1.0", b"one"), ("Two_A-2.0", b"two")):
        row = f"shared.py,{doctor.versions.settle.digest(text)},3\n"
        (packages / f"{name}.dist-info/RECORD").write_text(row)
    (packages / "shared.py").write_bytes(b"two")
    table = {"shared.py": "two-a"}
    monkeypatch.setattr(doctor.versions, "golden", lambda: {"shared-files": table})
    assert [finding.status for finding in found("versions")] == ["ok"]
    table["shared.py"] = "one"
    assert "shared.py (not from one, as [shared-files] says)" in only("versions").what
    table.clear()
    assert 'Add a line to [shared-files], for example: "shared.py" = ' in only("versions").fix


def test_the_advice_for_a_changed_environment_spares_one_in_use(packages, monkeypatch):
    """Bug: it removed the stamp without quotes, and set-up then took a running stack's packages."""
    (packages / "one-1.0.dist-info").rename(packages / "one-1.1.dist-info")
    monkeypatch.delenv("LOC_ENVIRONMENTS")
    monkeypatch.setattr(doctor.versions, "environment_folder", lambda _: packages.parents[2])
    stamp = packages.parents[2] / ".stamp"
    assert only("versions").fix == f"./loc down && rm '{stamp}' && ./loc setup platform"


def test_a_service_that_runs_with_older_packages_than_are_installed(packages, data, tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"],
        env=os.environ | {services.MARK: services.mark("home")},
        stdin=subprocess.PIPE,
    ) as child:
        stamp = tmp_path / ".venvs/platform/.stamp"
        os.utime(stamp, (0, 0))
        assert [finding.status for finding in found("running")] == ["ok"]
        os.utime(stamp)
        finding = only("running")
        child.stdin.close()
    assert "home runs with older packages" in finding.what and "loc restart home" in finding.fix
