"""Tests of which parts of the machine a program in the sandbox can see."""

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
