"""Findings of ``loc doctor`` for tests that make a trouble; the mark ``trouble`` names it.

Such a test makes the trouble itself, as a person or a machine would. The fixture in conftest.py
checks that doctor then named it.
"""

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proto_loc import doctor
from proto_loc.doctor import Finding
from proto_loc.settings import ROOT

SEEN: set[tuple[str, str]] = set()
"""Check and symptom of every trouble that doctor named in this process's test."""

PROGRAM = """
import json, sys
from proto_loc import doctor
print(json.dumps([finding.fields() for _, finding in doctor.look(sys.argv[1:])]))
"""


def recording(name: str, check: Callable[[], Iterator[Finding]]) -> Callable[[], Iterator[Finding]]:
    """The check, which also remembers the troubles that it names."""

    @functools.wraps(check)
    def wrapped() -> Iterator[Finding]:
        for finding in check():
            SEEN.add((name, finding.symptom))
            yield finding

    return wrapped


def check(marks: set[tuple[str, ...]]) -> None:
    """Assert that doctor has named these troubles."""
    assert marks <= SEEN, f"doctor did not name {marks - SEEN}"


def findings(check: str) -> list[Finding]:
    """What a check finds."""
    return [finding for _, finding in doctor.look([check])]


def only(check: str) -> Finding:
    """The only finding of a check that is not ok, which has a reason and a fix."""
    (finding,) = (finding for finding in findings(check) if finding.status != "ok")
    assert finding.why and finding.fix
    return finding


def is_well(check: str) -> bool:
    """Whether a check finds no trouble."""
    statuses = {finding.status for finding in findings(check)}
    assert statuses, "the check says nothing"
    return statuses == {"ok"}


def in_shell(check: str, script: str = "", *, within: tuple[str, ...] = (), **env: str) -> Finding:
    """The only trouble that a check finds in a shell of its own; a finding that is ok if none.

    Args:
        script: what the shell does before.
        within: the command that starts the shell, such as that of a namespace.
    """
    command = [sys.executable, "-P", "-c", PROGRAM, check]
    done = subprocess.run(
        [*within, "sh", "-c", f'{script}\nexec "$@"', "sh", *command],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | env,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    result = [Finding(**fields) for fields in json.loads(done.stdout)]
    SEEN.update((check, finding.symptom) for finding in result)
    troubles = [finding for finding in result if finding.status != "ok"]
    assert len(troubles) <= 1, troubles
    return troubles[0] if troubles else result[0]


@functools.cache
def namespace() -> tuple[str, ...]:
    """The command that starts a program with mounts of its own; the test is skipped without one."""
    why = "unshare is not installed"
    for command in (("unshare", "-m"), ("unshare", "-rm")):
        try:
            done = subprocess.run(
                [*command, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, text=True
            )
        except FileNotFoundError:
            break
        if done.returncode == 0:
            return command
        why = done.stderr.strip()
    pytest.skip(f"nothing can be mounted here: {why}")


def program(path: Path, script: str) -> Path:
    """Write a shell script that can be executed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def on_path(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the folder of a program in front of PATH."""
    monkeypatch.setenv("PATH", str(path.parent), prepend=os.pathsep)
