"""Fixtures: Dagster's processes, for the whole suite."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import SERVICES, Stack, clone

FOLDER = 'it\'s 100% "é" #1 $HOME a\\b; '
"""A name that means something to SQL, YAML, a shell, a URI: clone, data and run folder of the suite
are under it.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs the stack empty comes before what fills it; the other tests keep their order."""
    items.sort(key=lambda item: "empty_platform_through_dagster" not in item.name)


@pytest.fixture(scope="session")
def stack(session_port_prefix: str) -> Iterator[Stack]:
    """All three processes; one stack for the whole suite, since it takes seconds to come up."""
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
