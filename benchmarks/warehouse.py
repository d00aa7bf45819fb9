"""Measures a publish against a plain copy of the file, and reads during writes."""

import json
import os
import shutil
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from benchmarks import environment, ledger
from proto_loc import warehouse
from proto_loc.warehouse import store

TARGET, LARGE = 1.1, 1.9e9
"""Target for the time of a publish, relative to a copy with fsync, from this size in bytes on."""


@dataclass
class Publish:
    """The time of each publish and copy in seconds."""

    bytes: int
    """Size of the published file."""
    publish: list[float]
    floor: list[float]


@dataclass
class Crowd:
    """The results of concurrent writers and readers."""

    opens: float
    """Reads per second of all readers together."""
    publishes: float
    """Publishes per second of all writers together."""
    published: int
    pruned: int
    errors: Counter[str]
    torn: int
    back: int
    """Number of reads that saw an older state than the same reader's previous read."""
    lost: int
    """Number of batches that were acknowledged but are missing."""
    staleness: list[float]
    """Seconds from the acknowledgement of a version until a reader has read it."""

    def faults(self) -> list[str]:
        """Return what went wrong, one sentence each."""
        counts = {"torn reads": self.torn, "older reads": self.back, "lost batches": self.lost}
        return [
            *(f"{count} x {message}" for message, count in self.errors.most_common(10)),
            *(f"{count} {what}" for what, count in counts.items() if count),
        ]


def publish(megabytes: int, folder: Path, *, repeat: int) -> Publish:
    """Measure write sessions that change one row, and plain copies, alternately."""
    with environment(
        LOC_DATA=folder / "data", LOC_RUN=folder / "run", LOC_KEEP_VERSIONS=2, LOC_GRACE=0
    ):
        with warehouse.write("prod", who="loc bench") as session, session.connect() as con:
            con.execute("create table changed as select 0 as run")
            # Hashes cannot be compressed, so each row takes its full 16 bytes.
            con.execute(
                "create table bulk as select hash(range) as a, hash(range, 1) as b from"
                f" range({megabytes * 62_500})"
            )
        done = Publish(store.current("prod").bytes, [], [])
        for run in range(repeat):
            if run % 2 == 0:
                done.floor.append(_copy(store.current("prod").path, folder / "copy"))
            done.publish.append(_session(run))
            if run % 2 == 1:
                done.floor.append(_copy(store.current("prod").path, folder / "copy"))
    return done


def _session(run: int) -> float:
    store.empty_trash("prod")  # wait until the previous session's files are deleted
    os.sync()
    start = time.perf_counter()
    with warehouse.write("prod", who="loc bench") as session, session.connect() as con:
        con.execute(f"update changed set run = {run + 1}")
    return time.perf_counter() - start


def _copy(source: Path, target: Path) -> float:
    os.sync()
    start = time.perf_counter()
    shutil.copyfile(source, target)
    store.fsync(target)
    store.fsync(target.parent)
    seconds = time.perf_counter() - start
    target.unlink()
    return seconds


def crowd(seconds: float, folder: Path, *, writers: int, readers: int, rows: int = 2000) -> Crowd:
    """Run processes that add batches and processes that read the newest version, repeatedly.

    Versions are pruned 5 seconds after they are superseded, so that reads meet pruning too.
    """
    stop, acks = folder / "stop", folder / "acks"
    reports = [folder / f"reader-{number}.json" for number in range(readers)]
    with environment(
        LOC_DATA=folder / "data", LOC_RUN=folder / "run", LOC_KEEP_VERSIONS=3, LOC_GRACE=5
    ):
        ledger.create()
        logs = [(folder / f"writer-{number}.log").open("w+") for number in range(writers)]
        writing = [
            ledger.program("write", stop, acks, rows, stdin=subprocess.PIPE, stderr=log)
            for log in logs
        ]
        reading = [ledger.program("read", stop, report, 0) for report in reports]
        try:
            ledger.wait_for_readers(reports)
            for process in writing:
                process.stdin.write(b"\n")
                process.stdin.close()
            time.sleep(seconds)
        finally:
            stop.touch()
            for process in writing:
                process.stdin.close()  # a writer that has not begun yet ends at once
            for process in writing + reading:
                process.wait()
        seen = [json.loads(report.read_text()) for report in reports if report.exists()]
        errors = Counter()
        for report in seen:
            errors.update(report["errors"])
        errors["a reader ended early"] += sum(process.returncode != 0 for process in reading)
        for process, log in zip(writing, logs, strict=True):
            if process.returncode != 0:
                log.seek(0)
                errors[f"a writer ended early: {log.read()[-500:]}"] += 1
            log.close()
        promised = ledger.acknowledged(acks)
        with warehouse.read("prod") as con:
            last, whole = ledger.state(con)
        kept = len(store.versions("prod"))
    passed = promised[-1]["at"] - promised[0]["at"] if len(promised) > 1 else float("inf")
    return Crowd(
        opens=sum(report["opens"] / report["seconds"] for report in seen),
        publishes=max(len(promised) - 1, 0) / passed,
        published=len(promised),
        pruned=1 + len(promised) - kept,
        errors=+errors,
        torn=sum(report["torn"] for report in seen) + (not whole),
        back=sum(report["back"] for report in seen),
        lost=sum(ack["batch"] > last for ack in promised),
        staleness=_staleness(promised, seen),
    )


def _staleness(promised: list[dict], seen: list[dict]) -> list[float]:
    staleness = []
    for report in seen:
        sights = iter(report["seen"])
        batch, at = next(sights, (0, 0.0))
        for ack in promised:
            while batch < ack["batch"]:
                batch, at = next(sights, (float("inf"), None))
            if at is None:
                break  # the run ended before this reader could see the version
            # A negative time means that the read happened between the swap and the acknowledgement.
            staleness.append(max(at - ack["at"], 0.0))
    return staleness
