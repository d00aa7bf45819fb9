"""Fixtures of the unit tests."""

import pytest

from proto_loc.errors import LocError
from proto_loc.setup.environments import uv


@pytest.fixture(scope="session")
def registry() -> None:
    """A package registry that this machine can reach; otherwise the test is skipped."""
    try:
        uv("pip", "compile", "-", "--quiet", "--no-cache", "--no-deps", stdin="filelock")
    except LocError as error:
        pytest.skip(f"no package registry can be reached: {error.why.splitlines()[-1]}")
