"""Tests of which parts of the machine a program in the sandbox can see."""

import shlex
from pathlib import Path

import pytest

from proto_loc.ai.chatting import bubblewrap


def test_a_link_to_python_shows_nothing_of_the_folder_that_it_stands_in(tmp_path):
    """Python 3.11 may be a link in ~/.local/bin, and ~/.local contains keyrings and tokens."""
    real = tmp_path / "opt/python/bin/python3.11"
    link = tmp_path / "home/.local/bin/python3.11"
    venv = tmp_path / "clone/.venvs/notebooks/bin/python"
    for file in (
        real,
        link,
        venv,
        tmp_path / "home/.local/share/keyring",
        real.parent.parent / "lib/os.py",
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
    real.touch()
    link.symlink_to(real)
    venv.symlink_to(link)
    found = bubblewrap.read_only(venv)
    assert [path for path in found if path.startswith(str(tmp_path))] == [
        str(link), str(real), str(real.parent.parent / "lib"), str(venv.parent.parent),
    ]  # fmt: skip


@pytest.mark.parametrize("value", ["1", "0", None], ids=["Ubuntu 24.04", "off", "another kernel"])
def test_what_allows_user_namespaces_is_said_for_this_machine(tmp_path, monkeypatch, value):
    """AppArmor refuses them on Ubuntu 24.04, and a message that names no command helps nobody."""
    limit = tmp_path / "apparmor_restrict_unprivileged_userns"
    if value:
        limit.write_text(f"{value}\n")
    monkeypatch.setattr(bubblewrap, "APPARMOR", limit)
    command = bubblewrap.remedy().partition(": ")[2]
    if value != "1":
        assert command == "" and "A container" in bubblewrap.remedy()
        return
    copy, load = (shlex.split(part) for part in command.split(" && "))
    assert Path(copy[2]).read_text().count("userns,") == 1
    assert copy[:2] == ["sudo", "cp"] and load == [
        "sudo", "apparmor_parser", "--replace", copy[3],
    ]  # fmt: skip
