"""Fixtures: a published platform for the suite, which consists of one module."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from doors import Door
from metricflow_on_prod import MetricFlow
from samples import copy_sample, copy_superset

from proto_loc import warehouse


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, module_port_prefix: str) -> Iterator[Path]:
    """The data folder of a platform with a published sample of 20,000 trips."""
    home = tmp_path_factory.mktemp("platform")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOC_DATA", str(home / "data"))
        patch.setenv("LOC_RUN", str(home / "run"))
        patch.setenv("LOC_PORT_PREFIX", module_port_prefix)
        data = copy_sample(home, tmp_path_factory)
        copy_superset(tmp_path_factory)
        yield data


@pytest.fixture(scope="module")
def oracle(platform: Path) -> Iterator[MetricFlow]:
    """MetricFlow on the published version: the reference."""
    made = MetricFlow(warehouse.current("prod"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def opened(platform: Path) -> Iterator:
    """A function that opens an interface (door), once."""
    known: dict[type, Door] = {}
    with ExitStack() as stack:

        def open_(door: type) -> Door:
            if door not in known:
                needs = [open_(need) for need in getattr(door, "needs", ())]
                known[door] = stack.enter_context(door(*needs))
            return known[door]

        yield open_
