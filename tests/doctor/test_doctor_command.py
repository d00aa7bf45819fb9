"""The command ``loc doctor``: what it prints, its exit code, ``--fix``."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from clones import borrowing_clone

from proto_loc import credentials, doctor, warehouse
from proto_loc.cli import main
from proto_loc.errors import LocError
from proto_loc.settings import ROOT

MEASURE = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(len(done.stdout.splitlines()), used.ru_utime + used.ru_stime)
"""

SILENT = {"loader", "store", "engine", "catalogues", "certificate", "trino"}
"""Checks that speak of what is wrong alone, or of another engine than the default one."""


def test_this_clone_is_well_and_every_check_says_something(data):
    findings = list(doctor.look())
    assert [
        finding for name, finding in findings if finding.status == "fail" and name != "ports"
    ] == []
    silent = set(doctor.CHECKS) - {name for name, _ in findings}
    assert silent <= SILENT


def test_what_a_check_stumbles_over_is_a_finding(monkeypatch):
    def broken():
        raise LocError("It broke.", "So.", "Mend it.")
        yield

    monkeypatch.setattr(doctor, "CHECKS", {"broken": broken})
    assert list(doctor.look()) == [
        ("broken", doctor.Finding("fail", "It broke.", "So.", "Mend it."))
    ]


BARE = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
"""The command that starts a program whose root may not open what is closed to it."""


@pytest.mark.parametrize("name", ["data", "run"])
def test_a_closed_folder_is_named_and_every_other_check_is_done(data, name: str):
    """Bug: the first check that looked into such a folder ended doctor without a finding."""
    folder = data.with_name(name)
    credentials.secret("cube")
    with warehouse.write("prod", who="test"):
        pass
    folder.mkdir(exist_ok=True)
    folder.chmod(0)
    command = [sys.executable, "-P", "-m", "proto_loc.cli", "doctor", "--json", "--fix"]
    try:
        done = subprocess.run(
            [*(() if os.geteuid() else BARE), *command],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
    finally:
        folder.chmod(0o700)
    assert done.returncode == 1, done.stderr
    rows = json.loads(done.stdout)
    blind = [row for row in rows if row["what"].endswith("could not look.")]
    assert blind and all(str(folder) in row["why"] for row in blind)
    assert any(row["what"] == f"{folder} cannot be written." for row in rows)
    assert set(doctor.CHECKS) - {row["check"] for row in rows} <= SILENT


def test_a_program_or_a_process_that_cannot_be_asked_is_a_finding(monkeypatch):
    def hangs():
        yield doctor.Finding("ok", "So far.")
        subprocess.run([sys.executable, "-c", "import time; time.sleep(9)"], timeout=0.01)

    def ended():
        def repair():
            raise psutil.NoSuchProcess(1)

        yield doctor.Finding("fail", "What.", "Why.", "Fix.", "Seen.", repair)

    monkeypatch.setattr(doctor, "CHECKS", {"hangs": hangs, "ended": ended})
    rows = doctor.mend(doctor.look())
    assert [row.what for _, row in rows] == ["So far.", "The check hangs could not look.", "What."]
    assert "timed out" in rows[1][1].why and "The repair failed: " in rows[2][1].why


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


def test_fix_repairs_what_is_safe_says_so_and_the_exit_code_tells_what_remains(
    data, monkeypatch, capsys
):
    checks = {name: doctor.CHECKS[name] for name in ("secrets", "writable", "python")}
    monkeypatch.setattr(doctor, "CHECKS", checks)
    credentials.secret("cube")
    path = credentials.path("cube")
    path.chmod(0o644)
    data.mkdir()
    data.chmod(0o777)
    assert main(["doctor"]) == 1 and path.stat().st_mode & 0o777 == 0o644
    assert f"chmod o-w '{data}' (./loc doctor --fix does it)" in capsys.readouterr().out
    assert main(["doctor", "--fix"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        *(["done", "secrets"], ["ok", "secrets"], ["done", "writable"], ["ok", "writable"]),
        ["ok", "python"],
    ]
    assert f"{path} has mode 0600." in lines[0]
    data.chmod(0o777)
    monkeypatch.setenv("LOC_PYTHON", "/gone/python3")
    assert main(["doctor", "--fix", "--json"]) == 1, "the Python is a person's decision"
    rows = json.loads(capsys.readouterr().out)
    assert [row["check"] for row in rows if row["status"] == "done"] == ["writable"]
    assert [row["check"] for row in rows if row["status"] == "fail"] == ["python"]


def test_a_repair_that_fails_is_told_and_stays_a_trouble(data, monkeypatch, capsys):
    def broken():
        def repair():
            raise LocError("It cannot be done.", "So.", "Do it.")

        yield doctor.Finding("fail", "What.", "Why.", "Fix.", "Seen.", repair)

    monkeypatch.setattr(doctor, "CHECKS", {"broken": broken})
    assert main(["doctor", "--fix"]) == 1
    printed = capsys.readouterr().out
    assert "why: Why. The repair failed: It cannot be done. So. Do it." in printed


def test_without_fix_nothing_changes(data, tmp_path):
    """Neither the content nor the time of any file of the data and run folders."""
    with warehouse.write("prod", who="test") as session, session.connect() as con:
        con.execute("create table t as select range as i from range(100)")
    staging = warehouse.store.folder("prod") / "staging/left"
    staging.mkdir(parents=True)
    (staging / "prod.duckdb").write_bytes(b"half")
    credentials.secret("cube")
    credentials.path("cube").chmod(0o644)
    data.chmod(0o777)

    def state() -> dict:
        paths = (path for folder in (data, data.with_name("run")) for path in folder.rglob("*"))
        return {path: (path.lstat().st_mtime_ns, path.lstat().st_mode) for path in paths}

    before = state()
    list(doctor.look())
    after = state()
    assert {path for path in before.keys() | after if before.get(path) != after.get(path)} == set()


def test_doctor_is_quick(data):
    """In processor time, also of programs that it starts, beside that of its largest import."""
    program = [sys.executable, "-P", "-m", "proto_loc.cli", "doctor"]
    (lines, seconds), (_, floor) = (
        subprocess.run(
            [sys.executable, "-c", MEASURE, *command],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            text=True,
        ).stdout.split()
        for command in (program, [sys.executable, "-c", "import dagster.components"])
    )
    assert int(lines) >= len(doctor.CHECKS) - len(SILENT)
    assert float(seconds) < 3 * float(floor)


@pytest.mark.parametrize("command, code", [("doctor", 1), ("status", 2)])
def test_a_bad_line_of_settings_stops_every_command_but_doctor(tmp_path, data, command, code):
    """Bug: `loc doctor` ended at the line, and said nothing of anything else."""
    borrowing_clone(tmp_path, "proto_loc", "loc", "pyproject.toml", "golden.toml", "locks")
    (tmp_path / ".env").write_text("LOC_RUN\n")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "proto_loc.cli", command],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == code
    printed = done.stdout + done.stderr
    assert f"{tmp_path}/.env, line 1: this is not a setting." in printed
    assert ("warehouse " in printed) == (command == "doctor")


def test_a_clone_whose_path_has_a_colon_is_refused_by_the_launcher(tmp_path):
    """Bug: every command ended with a traceback, as Python found no package proto_loc."""
    clone = tmp_path / "12:30"
    clone.mkdir()
    shutil.copy(ROOT / "loc", clone)
    done = subprocess.run([clone / "loc", "doctor"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: No command runs in {clone}.\nwhy: Its path has a colon")
