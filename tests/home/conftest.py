"""Fixtures: a platform with three versions of prod, and the home page on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from platforms import Home, publish

from proto_loc import warehouse


@pytest.fixture
def versions(data: Path) -> list[int]:
    """Ids of an empty first version of prod, one with 1,000 rows and one with 1,250."""
    first = warehouse.ensure("prod").id
    return [first, publish(1000).id, publish(1250, "loc refresh").id]


@pytest.fixture
def home(data: Path, port_prefix: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """The page on an empty platform; a test that asks for ``versions`` first has those."""
    monkeypatch.setenv("LOC_PORT_PREFIX", port_prefix)
    monkeypatch.setenv("LOC_LOCK_TIMEOUT", "1")
    with Home() as running:
        yield running
