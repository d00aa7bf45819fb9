"""Fixtures: a clone without content, and a published one with the content of a shop."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from clone import Clone, add_shop, make_clone


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory, session_port_prefix: str) -> Clone:
    """A clone without any domain's content."""
    return make_clone(tmp_path_factory.mktemp("bare"), session_port_prefix)


@pytest.fixture(scope="session")
def shop(session_port_prefix: str) -> Iterator[Clone]:
    """A clone with the shop's content, its files loaded and published. Leave it as it is."""
    with tempfile.TemporaryDirectory(prefix="loc-") as home:  # a socket's path has a short limit
        clone = make_clone(Path(home), session_port_prefix)
        add_shop(clone)
        clone.loc("generate")
        clone.commit("the shop")
        clone.loc("refresh", "--direct")
        yield clone
