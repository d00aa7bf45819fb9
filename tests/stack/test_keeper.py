"""Tests of the process that keeps the supervisor of ``loc up -d``."""

import time

import psutil
import pytest
from dummies import until

from proto_loc.compose.keeper import STEADY


def kept(stack) -> tuple[psutil.Process, psutil.Process]:
    """Return the keeper that `loc up -d` has left, and its supervisor."""
    (keeper,) = [one for one in stack.ours() if any("keeper.py" in word for word in one.cmdline())]
    (supervisor,) = keeper.children()
    return keeper, supervisor


@pytest.mark.slow
def test_a_supervisor_that_is_killed_is_started_again_with_its_services(stack):
    """Bug: after `kill -9` of the supervisor, everything stayed down."""
    stack.service("web")
    assert stack.loc("up", "-d").returncode == 0
    keeper, supervisor = kept(stack)
    assert until(lambda: time.time() - supervisor.create_time() > STEADY + 2, 2 * STEADY)
    supervisor.kill()
    assert until(lambda: stack.said().count("start web") == 2), stack.why()
    assert until(lambda: stack.verdicts() == {"web": "ready"}), stack.why()
    assert kept(stack)[0].pid == keeper.pid
    assert stack.loc("down").stdout == "Everything has ended.\n" and stack.gone()


def test_a_supervisor_that_is_stopped_is_continued_and_one_that_cannot_stay_is_given_up(stack):
    stack.service("web")
    assert stack.loc("up", "-d").returncode == 0
    keeper, supervisor = kept(stack)
    supervisor.suspend()
    assert until(lambda: supervisor.status() != psutil.STATUS_STOPPED), stack.why()
    assert stack.loc("status").returncode == 0
    supervisor.kill()  # before it was steady
    assert until(lambda: not keeper.is_running() or keeper.status() == "zombie"), stack.why()
    assert until(lambda: "stop web" in stack.said()), stack.why()
    assert stack.verdicts() == {}


@pytest.mark.slow
def test_down_ends_a_keeper_whose_supervisor_cannot_start(stack):
    """The second supervisor fails at once, as on a full disk, and is tried again."""
    flag = stack.folder / "flag"
    stack.add("setup", f"test ! -e {flag}", availability={"restart": "exit_on_failure"})
    stack.service("web", after={"setup": "completed_successfully"})
    assert stack.loc("up", "-d").returncode == 0
    keeper, supervisor = kept(stack)
    flag.touch()
    assert until(lambda: time.time() - supervisor.create_time() > STEADY + 2, 2 * STEADY)
    supervisor.kill()
    log = stack.folder / "run/logs/supervisor.log"
    assert until(lambda: log.read_text().count("it is started again") > 1), stack.why()
    assert keeper.is_running()
    assert stack.loc("down").stdout == "Everything has ended.\n" and stack.gone()
