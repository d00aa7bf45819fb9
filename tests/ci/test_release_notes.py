"""A release needs its version in pyproject.toml and its section in CHANGELOG.md."""

import shutil
import subprocess

import pytest

from proto_loc.settings import ROOT

CHANGELOG = """# Changelog

## Unreleased

- Not yet.

## 0.2.0 - 2026-11-30

### Added

- A thing.

## 0.1.0 - 2026-10-01

## 0.0.1 - 2026-09-01

- The first.
"""


@pytest.fixture
def notes(tmp_path):
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/release-notes", tmp_path / ".ci")
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)

    def run(tag: str, version: str) -> subprocess.CompletedProcess:
        (tmp_path / "pyproject.toml").write_text(f'[project]\nversion = "{version}"\n')
        return subprocess.run(
            [tmp_path / ".ci/release-notes", *filter(None, [tag])], capture_output=True, text=True
        )

    return run


def test_the_section_of_the_version_and_no_other_is_printed(notes):
    done = notes("v0.2.0", "0.2.0")
    assert (done.returncode, done.stdout.strip()) == (0, "### Added\n\n- A thing.")


@pytest.mark.parametrize(
    ("tag", "version", "said"),
    [
        ("v0.2.0", "0.1.0", "This is no release 0.2.0."),
        ("v0.3.0", "0.3.0", "CHANGELOG.md says nothing of 0.3.0."),
        ("v0.1.0", "0.1.0", "CHANGELOG.md says nothing of 0.1.0."),
        ("v0.2", "0.2", "CHANGELOG.md says nothing of 0.2."),
        ("", "0.2.0", "No release is named."),
    ],
)
def test_a_release_that_is_not_ready_is_refused(notes, tag, version, said):
    done = notes(tag, version)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {said}\n")
