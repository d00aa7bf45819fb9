"""Whatever is killed, stopped or out of space: what is published stays, and all heals by itself.

It takes two minutes, because each case hits a whole stack; they share one. ``LOC_COMPOSE`` chooses
its supervisor, by default our own; process-compose does not continue a `loc exec` that is stopped.
"""

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from matrix import ALWAYS, CASES, OF_DBT, PHASES, SERVICES, Case
from samples import copy_sample, copy_superset
from stage import Stage, standing_stage

from proto_loc import warehouse
from proto_loc.dbt import program
from proto_loc.settings import ROOT
from proto_loc.warehouse import store

HEALTHY = 30.0
"""Seconds within which a service is well again, on a machine that has a core to spare."""
SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
pytestmark = [pytest.mark.xdist_group("chaos"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def stage(module_port_prefix: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    def fill(home: Path) -> None:
        copy_sample(home, tmp_path_factory)
        (folder,) = (home / "run/dbt").glob("prod-*")
        with pytest.MonkeyPatch.context() as patch:
            copy_superset(tmp_path_factory)
            patch.setenv("LOC_DATA", f"{path}/data")
            folder.rename(folder.with_name(program.target_path("prod").name))

    # A socket's path has a short limit.
    with tempfile.TemporaryDirectory(prefix="loc-") as name:
        path = Path(name)
        shared = tmp_path_factory.mktemp("shared")
        with standing_stage(path, shared, module_port_prefix, fill) as stage:
            yield stage


def test_the_matrix_is_as_large_as_promised() -> None:
    names = [str(case) for case in CASES]
    assert len(names) >= 60 and len(names) == len(set(names))
    assert len(ALWAYS) >= 5 and set(names) >= ALWAYS
    assert {case.place for case in CASES} >= {*SERVICES, *PHASES, "supervisor"}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=str(case), marks=() if str(case) in ALWAYS else pytest.mark.slow)
        for case in CASES
    ],
)
def test_it_heals(stage: Stage, case: Case) -> None:
    if case.fault == "stop loc exec" and stage.variables["LOC_COMPOSE"] != "runner":
        pytest.skip("process-compose does not continue a `loc exec` that is stopped")
    before, hit = stage.published(), None
    if case.place in PHASES:
        moment, before = hit_writer(stage, case, before)
        again = lambda: stage.write(case.place)  # noqa: E731
    elif case.place == "run of Dagster":
        moment, before = hit_run(stage, case, before)
        again = lambda: stage.loc("refresh", "--force")  # noqa: E731
    else:
        hit = target(stage, case)
        moment = hit_service(stage, case, hit, before)
        again = lambda: stage.loc("refresh")  # noqa: E731
    serves = lambda: case.fault.startswith("stop") or replaced(stage, case, hit)  # noqa: E731
    # Without its supervisor, a stack starts again from nothing.
    healthy = max(HEALTHY, stage.started_in) if case.place == "supervisor" else HEALTHY
    check(stage, before, moment, again, serves, healthy)


def check(
    stage: Stage,
    before: tuple,
    moment: float,
    again: Callable,
    serves: Callable[[], bool],
    healthy: float,
) -> None:
    """Check the five promises of a case.

    Args:
        before: what was published before the fault, or by a writer that went on.
        moment: the end of the fault, on the monotonic clock.
        again: refreshes.
        serves: whether a process serves that can have noticed the fault.
        healthy: seconds within which all is well again; the limit grows with the machine's load.
    """
    assert stage.published() == before, "what is published is the last good version"
    limit = healthy
    while unwell := stage.unwell() or ([] if serves() else ["the process that was killed"]):
        limit = max(limit, healthy * max(1.0, os.getloadavg()[0] / os.cpu_count()))
        assert time.monotonic() < moment + limit, f"after {limit:.0f} s not well: {unwell}"
        time.sleep(0.3)
    print(f"well after {time.monotonic() - moment:.1f} s, of {limit:.0f} s")
    done = again()
    assert done.returncode == 0, done.stdout + done.stderr
    assert stage.published()[0] >= before[0]
    end = time.monotonic() + limit
    while (remains := stage.remains()) and time.monotonic() < end:
        time.sleep(0.3)
    assert remains == []


def target(stage: Stage, case: Case) -> psutil.Process:
    """The process of a service or the supervisor that a case hits.

    Raises:
        psutil.Error, StopIteration, KeyError: there is none just now.
    """
    if case.place == "supervisor":
        return stage.supervisor()
    process = psutil.Process(stage.pids()[case.place])
    return process if case.fault.endswith("loc exec") else started_by(process)


def replaced(stage: Stage, case: Case, hit: psutil.Process | None) -> bool:
    """Whether another process has taken the place of the one that was killed, if one was."""
    with suppress(psutil.Error, StopIteration, KeyError):
        return hit is None or target(stage, case) not in (None, hit)  # compares their starts too
    return False


def hit_service(stage: Stage, case: Case, process: psutil.Process, before: tuple) -> float:
    """Hit a service or the supervisor; return the moment at which the fault ended."""
    if case.fault == "full":
        with stage.full_disk():
            process.kill()
            time.sleep(4)
            assert stage.published() == before
    else:
        process.send_signal(SIGNALS[case.fault.split()[0]])
    return time.monotonic()


def started_by(parent: psutil.Process) -> psutil.Process:
    """The process that ``loc exec`` started, without the one that formats its lines."""
    return next(p for p in parent.children() if "log_lines.py" not in " ".join(p.cmdline()))


def hit_writer(stage: Stage, case: Case, before: tuple) -> tuple[float, tuple]:
    """Hit a writer in one phase.

    Returns:
        The moment at which the fault ended, and what has to be published: a writer that came to
        its end has published a newer version.
    """
    with stage.paused(case.place) as writer:
        if case.fault == "full":
            with stage.full_disk():
                stage.go()
                said = writer.communicate(timeout=200)[0]
                if writer.returncode:
                    assert writer.returncode == 1 and "no space left" in said, said
                    assert "Traceback" not in said, said
                    assert stage.published() == before
            return time.monotonic(), before if writer.returncode else newer(stage, case, before)
        hit = psutil.Process(writer.pid)
        if case.fault in OF_DBT:
            hit = stage.dbt()
        hit.send_signal(SIGNALS[case.fault.split()[0]])
        moment = time.monotonic()
        assert stage.published() == before
        if case.fault == "kill":
            writer.wait(20)
            return moment, before
        if case.fault == "stop" and case.place not in ("download", "provision"):
            database = "raw" if case.place == "ingest" else "prod"
            named = pytest.raises(warehouse.LockTimeout, match=f"kill -CONT {writer.pid}`")
            with named, store.write_lock(database, 0):
                pass
        stage.go()
        if case.fault.startswith("stop"):
            time.sleep(1)
            assert writer.poll() is None and stage.published() == before
            hit.send_signal(signal.SIGCONT)
        said = writer.communicate(timeout=200)[0]
        if case.fault.startswith("stop"):
            assert writer.returncode == 0, said
            return time.monotonic(), newer(stage, case, before)
        assert writer.returncode == 1 and "Traceback" not in said, said
        return time.monotonic(), before


def newer(stage: Stage, case: Case, before: tuple) -> tuple:
    """What a writer has published since; provisioning publishes nothing."""
    published = stage.published()
    assert published[0] == before[0] + (case.place != "provision")
    return published


def hit_run(stage: Stage, case: Case, before: tuple) -> tuple[float, tuple]:
    """Hit a run of Dagster while dbt builds; return the same as :func:`hit_writer`."""
    refresh = stage.begin(ROOT / "loc", "refresh", "--force")
    end = time.monotonic() + 120
    while not (dbt := stage.dbt()):
        assert refresh.poll() is None, refresh.stdout.read()
        assert time.monotonic() < end, "dbt was not started"
        time.sleep(0.05)
    hit = dbt if case.fault.endswith("dbt") else dbt.parent()
    hit.send_signal(SIGNALS[case.fault.split()[0]])
    moment = time.monotonic()
    assert stage.published() == before
    said = refresh.communicate(timeout=200)[0]
    assert "Traceback" not in said, said
    if case.fault.startswith("stop"):
        assert refresh.returncode == 0, said
        return time.monotonic(), newer(stage, case, before)
    assert refresh.returncode == 1, said
    return moment, before
