"""Fixtures: clones without the demonstration."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from clone import Clone, make_clone


@pytest.fixture(scope="module")
def fork(module_port_prefix: str) -> Iterator[Clone]:
    """A clone without content of any domain, for the tests of one module in their order."""
    with tempfile.TemporaryDirectory(prefix="loc ") as home:  # a path with a space
        yield make_clone(Path(home), module_port_prefix)
