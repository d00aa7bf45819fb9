"""Fixtures: published versions, and one server per module, as a start takes seconds."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import MODEL, Server, publish


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder with a small published version, which the module's environment uses.

    It returns the folder of the model.
    """
    home = tmp_path_factory.mktemp("cube")
    model = home / "model"
    model.mkdir()
    (model / "trips.yml").write_text(MODEL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOC_DATA", str(home / "data"))
        patch.setenv("LOC_RUN", str(home / "run"))
        publish()
        yield model


@pytest.fixture(scope="module")
def server(small: Path) -> Iterator[Server]:
    """A server on that version, with timeouts that are short enough to test."""
    with Server(small, LOC_CUBE_TIMEOUT=3, LOC_CUBE_GRACE=1, LOC_CUBE_ROWS=2000) as made:
        yield made
