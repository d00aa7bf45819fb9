"""A fixture that runs a stack of test processes with each available supervisor."""

import signal

import pytest
from dummies import SUPERVISORS, Stack


@pytest.fixture(params=SUPERVISORS)
def stack(request, tmp_path, monkeypatch):
    """A stack for each supervisor; after the test, none of its processes may be running."""
    if request.param not in SUPERVISORS:
        pytest.skip("process-compose is not on PATH, so no test of this suite runs under it")
    monkeypatch.setenv("LOC_RUN", str(tmp_path / "run"))
    monkeypatch.setenv("LOC_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LOC_COMPOSE", {"process-compose": "path"}.get(request.param, request.param))
    monkeypatch.setenv("LOC_COMPOSE_FILE", str(tmp_path / "process-compose.yaml"))
    monkeypatch.setenv("CASE", str(tmp_path))
    made = Stack(tmp_path, request.param)
    try:
        yield made
    finally:
        for process in made.started:
            process.send_signal(signal.SIGTERM)
        if made.states():
            made.loc("down")
        left = [] if made.gone() else [" ".join(process.cmdline()) for process in made.ours()]
        for process in made.ours():
            process.kill()
    assert not left
