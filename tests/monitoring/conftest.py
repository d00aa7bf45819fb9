"""Fixtures: a fork.toml of a test."""

from collections.abc import Callable

import pytest

from proto_loc import fork_file
from proto_loc.notify import delivery


@pytest.fixture
def channels(data, tmp_path, monkeypatch) -> Callable[[str], None]:
    """Writes the lines of ``[notify]`` of a fork that is called ``shop``."""
    monkeypatch.setattr(fork_file, "FILE", tmp_path / "fork.toml")
    monkeypatch.setattr(delivery, "PAUSE", 0.01)

    def write(lines: str) -> None:
        (tmp_path / "fork.toml").write_text(f'name = "shop"\n\n[notify]\n{lines}\n')

    return write
