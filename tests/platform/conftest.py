"""Fixtures: a clone without content, and a clone with the published content of a shop."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from clone import Clone, add_shop, make_clone


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory, session_port_prefix: str) -> Clone:
    """A clone without content of any domain."""
    return make_clone(tmp_path_factory.mktemp("bare"), session_port_prefix)


@pytest.fixture(scope="session")
def shop(session_port_prefix: str) -> Iterator[Clone]:
    """A clone with the shop's content, loaded and published. Do not change it: tests share it."""
    with tempfile.TemporaryDirectory(prefix="loc-") as home:  # a socket's path has a short limit
        clone = make_clone(Path(home), session_port_prefix)
        add_shop(clone)
        clone.loc("generate")
        clone.commit("the shop")
        clone.loc("refresh", "--direct")
        yield clone


@pytest.fixture(scope="module")  # its port is the session's: other tests expect nothing there
def cube(shop: Clone) -> Iterator[None]:
    """Cube on the shop's data, started as its supervisor starts it."""
    address = f"http://127.0.0.1:{shop.variables['LOC_PORT_PREFIX']}4000/readyz"
    process = shop.start("exec", "cube")
    try:
        end = time.monotonic() + 90
        while not answers(address):
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(30)


def answers(address: str) -> bool:
    try:
        return httpx.get(address, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
