"""Fixtures: Dagster's processes, for the whole suite."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import SERVICES, Stack, clone

FOLDER = 'it\'s 100% "é" #1 $HOME a\\b; '
"""A folder name with special characters of SQL, YAML, the shell and URIs.

The suite's clone, data folder and run folder are inside it.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests that need an empty stack first; keep the order of the others."""
    items.sort(key=lambda item: "empty_platform_through_dagster" not in item.name)


@pytest.fixture(scope="session")
def stack(session_port_prefix: str) -> Iterator[Stack]:
    """A stack with all three processes.

    The whole suite shares it, because its start takes seconds.
    """
    home = Path(tempfile.mkdtemp(prefix=FOLDER))
    clone(home)
    made = Stack(home, session_port_prefix)
    try:
        made.start(*SERVICES)
        yield made
    finally:
        for service in list(made.processes):
            made.stop(service)
        shutil.rmtree(home)


@pytest.fixture
def filled(stack: Stack) -> Stack:
    """The stack with data in it."""
    done = stack.loc("first-load")
    assert done.returncode == 0, done.stderr
    return stack
