"""Tests of ``kill -9`` at random moments, of a writer, its parent, or its child.

50 kills take a minute; ``./loc test --all`` runs 200. ``LOC_KILLS`` sets the number, and
``LOC_SEED`` repeats the random moments of a failed run.
"""

import json
import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from benchmarks import ledger
from proto_loc import warehouse
from proto_loc.warehouse import store

KILLS = int(os.environ.get("LOC_KILLS") or 50)
SEED = int(os.environ.get("LOC_SEED") or random.randrange(2**32))
ROWS = 200
WRITERS = ("ledger", "finish.py")
"""Command line parts of a writer's children: our own child process, and the publish."""


@pytest.fixture
def stop(data: Path, monkeypatch: pytest.MonkeyPatch):
    """A file that ends every program when it appears.

    Versions are pruned soon, so that the test covers pruning too.
    """
    monkeypatch.setenv("LOC_KEEP_VERSIONS", "3")
    monkeypatch.setenv("LOC_GRACE", "2")
    monkeypatch.setenv("LOC_LOCK_TIMEOUT", "30")
    file = data.parent / "stop"
    yield file
    file.touch()


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(KILLS, marks=pytest.mark.timeout(60 + 6 * KILLS)),
        pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(60 + 6 * 200)]),
    ],
)
def test_no_kill_tears_loses_or_blocks_anything(kills: int, data: Path, stop: Path) -> None:
    """Bug: a killed writer of the old stack left a locked or half-written file, which blocked
    everyone.
    """
    moments = random.Random(SEED)
    start = time.monotonic()
    ledger.create()
    session = time.monotonic() - start  # duration of one session; a kill comes within the next few
    acks = data.parent / "acks"
    reports = [data.parent / f"reader-{number}.json" for number in range(2)]
    readers = [ledger.program("read", stop, report, 0.02) for report in reports]
    published: dict[int, str] = {}
    blocked = 0
    waiting = _writer(moments, stop, acks)
    try:
        for kill in range(kills):
            (victim, writer), waiting = waiting, _writer(moments, stop, acks)
            before = f"kill {kill} of a {victim}, LOC_SEED={SEED}"
            writer.stdin.write(b"\n")
            writer.stdin.flush()
            time.sleep(moments.uniform(0, 3 if victim == "writer" else 4) * session)
            orphans = _kill(victim, writer, moments)
            blocked += any(_blocks(orphan) for orphan in orphans)
            promised = _check(before, acks, published)
            session *= 1.1 if 4 * promised < kill else 0.95  # the speed of the machine varies
    finally:
        stop.touch()
        waiting[1].communicate(b"\n")
        for reader in readers:
            reader.wait(30)
    seen = [json.loads(report.read_text()) for report in reports]
    assert all(
        s["opens"] > kills and not s["torn"] and not s["back"] and not s["errors"] for s in seen
    ), seen
    versions = [ack["version"] for ack in ledger.acknowledged(acks)]
    assert versions == sorted(set(versions)), f"ids came twice, LOC_SEED={SEED}"
    assert len(versions) > kills / 8, (
        "the writers hardly ever came to publish: the test shows little"
    )
    assert blocked or kills < 80, "no child outlived its parent: the test shows little"


def _writer(moments: random.Random, stop: Path, acks: Path) -> tuple[str, subprocess.Popen]:
    """Start a writer that waits for a signal to begin; return the victim's role and the writer."""
    victim = moments.choice(("writer", "parent", "child"))
    mode = [] if victim == "writer" else ["child"]
    return victim, ledger.program(
        "write", stop, acks, ROWS, *mode, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )


def _kill(victim: str, writer: subprocess.Popen, moments: random.Random) -> list[psutil.Process]:
    """Kill the victim, and make sure that the writer ends; return the children that are still
    running.
    """
    children = _children(writer)
    while victim != "writer" and not children and writer.poll() is None:
        time.sleep(0.005)
        children = _children(writer)
    if victim != "writer":
        time.sleep(moments.uniform(0, 0.1))
        children = [child for child in children if child.is_running()]
    if victim == "child":
        for child in children:
            child.kill()
        with suppress(subprocess.TimeoutExpired):  # the child ended just before
            writer.wait(2)
    writer.kill()
    said = writer.communicate()[1].decode()
    assert writer.returncode in (-signal.SIGKILL, ledger.FAILED), said
    return children if victim == "parent" else []


def _children(writer: subprocess.Popen) -> list[psutil.Process]:
    found = []
    try:
        for child in psutil.Process(writer.pid).children():
            if any(name in " ".join(child.cmdline()) for name in WRITERS):
                found.append(child)
    except psutil.Error:
        pass  # a child has just ended
    return found


def _blocks(orphan: psutil.Process) -> bool:
    """Return whether the child that outlived its parent still blocks other writers.

    The error must name the child.
    """
    try:
        with warehouse.write("prod", who="impatient", timeout=0) as session:
            session.discard()
            assert not _works(orphan), "a session began while an orphan was still writing"
    except warehouse.LockTimeout as refusal:
        if _works(orphan) and os.path.exists("/proc"):
            assert f"pid {orphan.pid}" in refusal.why
        return True
    return False


def _works(process: psutil.Process) -> bool:
    """Return whether the process has open files.

    A process that is just ending has none, but is still listed.
    """
    try:
        return bool(process.open_files())
    except psutil.Error:
        return False


def _check(after: str, acks: Path, published: dict[int, str]) -> int:
    """Check that readers get every acknowledged batch, complete, and that the next session works.

    Returns:
        the number of acknowledged publishes.
    """
    with warehouse.read("prod") as con:
        batch, whole = ledger.state(con)
    assert whole, f"torn after {after}"
    promised = ledger.acknowledged(acks)
    assert not promised or batch >= promised[-1]["batch"], (
        f"lost after {after}: {promised[-1]}, found {batch}"
    )
    with warehouse.write("prod", who="next") as session:
        assert store.current_id("prod") == session.base.id
        session.discard()
    assert os.listdir(store.folder("prod") / "staging") == [], after
    for version in store.versions("prod"):
        stamp = store.load("prod", version).verify().published_at
        assert published.setdefault(version, stamp) == stamp, (
            f"id {version} came twice after {after}"
        )
    assert session.id > max(published), after
    return len(promised)
