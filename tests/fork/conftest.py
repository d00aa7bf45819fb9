"""Fixtures of small repositories."""

from pathlib import Path

import pytest
from repositories import Fork, make_upstream


@pytest.fixture
def fork(tmp_path: Path) -> Fork:
    """A repository as it came from the platform's, in one commit."""
    return make_upstream(tmp_path / "fork")
