"""The parts of ``loc soak``: what it takes for wrong, and what it takes for a leak."""

import copy
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from proto_loc import sources, warehouse
from proto_loc.doctor.finding import ok
from proto_loc.errors import LocError
from proto_loc.metrics.definitions import Dimension, Metric, SemanticModel
from proto_loc.metrics.formats import Format
from proto_loc.settings import ROOT, settings
from proto_loc.soak import ledger, readers, slopes, soaking
from proto_loc.soak.load import Load, Stretch
from proto_loc.soak.resources import Logs, Sampler
from proto_loc.soak.timeline import Timeline
from proto_loc.sources import Table
from proto_loc.sources.files import FileSource
from proto_loc.validate import pipeline, steps
from proto_loc.validate.proof import Proof, fail

DAY = Dimension("day", "Day", "", (), "day")
METRICS = tuple(
    Metric(name, name, "", "simple", Format("count", 0), ()) for name in ("orders", "sales", "rate")
)
MODEL = SemanticModel("shop", "Shop", "", "", "", "marts", "shop", (), (DAY,), METRICS, DAY, ())


def publish(orders: int | None, sales: str | None, rate: float | None) -> int:
    """Publish a version that records these figures, and return its id."""
    with warehouse.write("prod", who="test") as session:
        with session.connect() as con:
            con.execute("create schema if not exists marts")
            con.execute(f"create or replace table marts.shop as from range({orders or 0})")
        figures = {"orders": orders, "sales": sales, "rate": rate}
        session.facts = {"metrics": {"marts.shop": figures}}
    return session.version.id


@pytest.fixture
def timeline(data):
    publish(10, "1.50", 0.25)
    with Timeline([MODEL], {("shop", "rate")}) as made:
        yield made


def test_an_answer_is_of_the_version_that_has_its_figures(timeline):
    first = timeline.versions[-1].id
    shown = {"orders": "10", "sales": 1.5, "rate": "0.25000000000001"}
    assert timeline.judge("shop", shown, time.monotonic()) == timeline.judge(
        "shop", shown, time.monotonic()
    )
    judged = timeline.judge("shop", shown, time.monotonic())
    assert (judged.version, judged.stale) == (first, 0)


def test_an_old_answer_is_stale_since_the_next_version(timeline):
    first, start = timeline.versions[-1].id, time.monotonic()
    second = publish(11, "1.60", 0.3)
    shown = {"orders": 10, "sales": "1.50", "rate": 0.25}
    new = timeline.judge("shop", {"orders": 11, "sales": "1.6", "rate": 0.3}, time.monotonic())
    assert new.version == second, "it waits for a version that was published a moment ago"
    assert timeline.judge("shop", shown, start).stale == 0, "it was asked before the publish"
    judged = timeline.judge("shop", shown, time.monotonic() + 5)
    assert judged.version == first and 5 <= judged.stale < 6


def test_a_version_with_the_figures_of_an_older_one_is_not_taken_for_it(data, monkeypatch):
    """Bug: on a busy machine, an answer of the newest version counted as 36 seconds old."""
    monkeypatch.setattr("proto_loc.soak.timeline.POLL", 3600)  # nobody looks meanwhile
    shown = {"orders": 10, "sales": "1.50", "rate": 0.25}
    publish(10, "1.50", 0.25)
    with Timeline([MODEL], {("shop", "rate")}) as timeline:
        second = publish(11, "1.60", 0.3)
        judged = timeline.judge("shop", {"orders": 11, "sales": "1.6", "rate": 0.3}, 0)
        assert judged.version == second
        third = publish(10, "1.50", 0.25)
        judged = timeline.judge("shop", shown, time.monotonic() + 5)
        assert (judged.version, judged.stale) == (third, 0)


def test_figures_of_two_versions_in_one_answer_are_half_built(timeline):
    publish(11, "1.60", 0.3)
    judged = timeline.judge("shop", {"orders": 11, "sales": "1.50", "rate": 0.3}, time.monotonic())
    assert judged.version is None
    assert "sales is 1.50, and version" in judged.why
    publish(None, None, None)
    shown = {"orders": 11, "sales": "1.60", "rate": 0.35}
    judged = timeline.judge("shop", shown, time.monotonic())
    assert judged.version is None, "a version without figures has not these"
    assert "orders is 11, and version" in judged.why
    nothing = dict.fromkeys(shown)
    assert timeline.judge("shop", nothing, time.monotonic()).version == timeline.versions[-1].id
    empty = timeline.judge("shop", {}, time.monotonic())
    assert empty.version is None, "an answer without a row is no answer"


def rising(per_hour: float, noise: float, seconds: float) -> list[tuple[float, float]]:
    chance = random.Random(1)
    return [
        (at, 1000 + per_hour * at / 3600 + chance.uniform(-noise, noise))
        for at in range(0, int(seconds), 10)
    ]


@pytest.mark.parametrize(
    ("points", "verdict"),
    [
        (rising(600, 20, 3600), slopes.LEAKS),
        (rising(0, 200, 3600), slopes.STEADY_STATE),
        (rising(10, 1, 3600), slopes.STEADY_STATE),  # grows steadily, and by 1 % an hour
        (rising(600, 20, 600), slopes.TOO_SHORT),
        ([(at, float(at % 600)) for at in range(0, 3600, 10)], slopes.STEADY_STATE),  # a sawtooth
    ],
    ids=["leak", "noise", "little", "short", "sawtooth"],
)
def test_what_leaks_is_told_from_what_goes_up_and_down(points, verdict: str):
    slope = slopes.fit("cube", "files", points)
    assert slope.verdict == verdict, slope
    if verdict == slopes.LEAKS:
        assert slope.hourly == pytest.approx(600, rel=0.05)


def test_caches_that_fill_at_first_are_no_leak():
    points = [(at, 1000.0 + 500 * min(at, 300) / 300) for at in range(0, 3600, 10)]
    assert slopes.fit("superset", "files", points).verdict == slopes.STEADY_STATE


@pytest.mark.parametrize(
    ("minutes", "verdict"), [(30, slopes.TOO_SHORT), (120, slopes.LEAKS)], ids=["half", "two"]
)
def test_a_rise_that_only_an_hour_would_show_is_not_judged_before(minutes: int, verdict: str):
    """Bug: Node's memory, which rises by 18 MiB in half an hour until it is full, was a leak."""
    megabyte = 2**20
    points = [(at, megabyte * (225 + 40 * at / 3600)) for at in range(0, minutes * 60, 10)]
    slope = slopes.fit("cube", "memory", points)
    assert slope.verdict == verdict and slope.hourly == pytest.approx(40 * megabyte)


@pytest.mark.parametrize(
    ("seconds", "after", "verdict"),
    [
        (1800, 600, slopes.TOO_SHORT),
        (3600, 600, slopes.LEAKS),
        (3600, 0, slopes.STEADY_STATE),
        (600, 0, slopes.TOO_SHORT),
    ],
    ids=["within", "beyond", "full", "short"],
)
def test_what_is_kept_for_a_time_is_no_leak_before_that_time_is_over(seconds, after, verdict):
    """Bug: the versions in their grace time, of which there are more and more for the first hour,
    made every soak of half an hour fail.
    """
    megabyte = 2**20
    points = [
        (at, megabyte * (100 + min(at, 1800) + max(0, at - 1800) * after / 600))
        for at in range(0, seconds, 10)
    ]
    fitted = slopes.fit_all(
        [{"at": at, "processes": {"disk": {"data": size}}} for at, size in points], {"data": 1800}
    )
    assert [slope.verdict for slope in fitted] == [verdict], fitted


def test_the_leaking_process_is_named():
    samples = [
        {"at": at, "processes": {"cube": {"files": 100 + at / 10}, "home": {"files": 30.0}}}
        for at in range(0, 3600, 10)
    ]
    fitted = slopes.fit_all(samples, {})
    soak = ledger.Soak(settings().run, [ledger.Run("now", None)])
    assert soaking.content(soak, fitted)["leaks"] == ["cube"]
    assert not soaking.passed(soak, fitted) and "| cube | files |" in soaking.page(soak, fitted)


def test_hours_add_up_over_runs_and_a_killed_one_counts_as_far_as_it_came(data):
    soak = ledger.find(1, new=False)
    run = soak.begin(20)
    ledger.note(run, Stretch(seconds=1000, reads=Counter(cube=5)), ledger.Run("", None))
    soak.save()
    run.seconds = 9999  # what was not saved does not count
    again = ledger.find(1, new=False)
    assert again.folder == soak.folder and again.seconds == 1000
    before = again.begin(20)
    ledger.note(before, Stretch(seconds=2600.5, errors=["x"]), ledger.Run("", None))
    again.save()
    assert ledger.read(soak.folder).seconds == 3600.5
    assert [run.passed for run in ledger.read(soak.folder).runs] == [True, False]
    assert ledger.find(1, new=False).folder != soak.folder, "it has its hour"
    assert ledger.find(2, new=False).folder == soak.folder
    assert ledger.find(2, new=True).folder != soak.folder
    (soak.folder / "soak.json").write_text("{")
    with pytest.raises(LocError, match="cannot be read"):
        ledger.find(2, new=False)


def test_twenty_readers_are_of_every_kind_whose_service_is_ready():
    every = {"superset", "cube", "jupyter"}
    assert Counter(readers.kinds(20, every)) == readers.SHARES
    assert len(readers.kinds(7, every)) == 7
    assert Counter(readers.kinds(9, {"cube"})) == {"cube": 5, "cli": 4}
    assert readers.kinds(5, set()) == []


def test_messages_about_locks_are_found_in_the_logs_from_now_on(data):
    folder = settings().run / "logs"
    folder.mkdir(parents=True)
    (folder / "superset.log").write_text("sqlite3.OperationalError: database is locked\n")
    logs = Logs()
    assert logs.lock_messages() == []
    with (folder / "superset.log").open("a") as file:
        file.write("IO Error: Could not set lock on file\nall is well\n")
    assert logs.lock_messages() == ["superset.log: IO Error: Could not set lock on file"]
    with (folder / "superset.log").open("a") as file:
        file.write("database is locked, and then it is rotated\nconflicting ")
    for rotated in ("superset.log.1", "superset-2026-01-01T00-00-00.000.log"):
        next(folder.glob("superset*")).rename(folder / rotated)
        (line,) = logs.lock_messages()
        assert line == f"{rotated}: database is locked, and then it is rotated"
        with (folder / rotated).open("a") as file:
            file.write("lock\ndatabase is locked, and then it is rotated\n")
        assert len(logs.lock_messages()) == 2
        with (folder / rotated).open("a") as file:
            file.write("database is locked, and then it is rotated\nconflicting ")
    (folder / "superset.log").write_text("database is locked\n")
    assert "superset.log: database is locked" in logs.lock_messages()


def test_a_soak_without_a_stack_says_so_and_without_a_metric(data):
    assert Sampler().take().keys() == {"disk"}
    warehouse.ensure("prod")
    with pytest.raises(LocError, match="no figure to watch"):
        Load([], publish=False, stopped=threading.Event()).run(1)


def test_a_reader_that_fails_is_counted_with_its_reason(data):
    load = Load(["cube"], publish=False, stopped=threading.Event())
    load._fail("cube", LocError("Cube does not answer.", "why", "fix"))
    load._fail("cli", TimeoutError("slow"))
    assert load.stretch.errors == ["cube: Cube does not answer. why fix", "cli: TimeoutError: slow"]
    assert not load.stretch.passed and load.stretch.locks == []
    load._fail("cli", LocError("IO Error: Could not set lock on file.", ""))
    assert load.stretch.locks == load.stretch.errors[2:]


QUERY = """
import signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from proto_loc.soak import readers
from test_soak_parts import MODEL

signal.signal(signal.SIGINT, lambda *_: print("stopping", flush=True))
readers.ROOT = Path(sys.argv[1])
print(readers.InTerminal().totals(MODEL))
"""


def test_ctrl_c_in_a_terminal_leaves_the_queries_in_flight(tmp_path):
    """A terminal sends it to the whole group of processes."""
    program = tmp_path / "loc"
    program.write_text("#!/bin/sh\necho > asked\nsleep 1\nprintf 'orders,sales\\n10,1.50\\n'\n")
    program.chmod(0o755)
    soak = subprocess.Popen(
        [sys.executable, "-c", QUERY, tmp_path, Path(__file__).parent],
        env=dict(os.environ) | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    end = time.monotonic() + 30
    while not (tmp_path / "asked").exists():
        assert soak.poll() is None and time.monotonic() < end, soak.communicate()
        time.sleep(0.02)
    os.killpg(soak.pid, signal.SIGINT)
    printed, errors = soak.communicate(timeout=30)
    assert printed == "stopping\n{'orders': '10', 'sales': '1.50'}\n", errors


class Broken(readers.InTerminal):
    """A reader that fails, and stops the soak before its second answer."""

    def __init__(self, load: Load) -> None:
        self.load, self.answers = load, 0

    def totals(self, model: SemanticModel) -> dict[str, object]:
        self.answers += 1
        if self.answers == 2:
            self.load.stopped.set()
            self.load._ended.set()
        raise LocError(f"Answer {self.answers} failed.", "")


def test_what_a_reader_stumbles_over_once_it_is_stopped_is_no_error(timeline, monkeypatch):
    monkeypatch.setitem(readers.PAUSES, "cli", 0.01)
    load = Load([], publish=False, stopped=threading.Event())
    broken = Broken(load)
    load._read(broken, timeline)
    assert broken.answers == 2 and load.stretch.errors == ["cli: Answer 1 failed."]


def test_a_soak_without_a_service_says_why_none_started(data, monkeypatch):
    def up(_: Proof):
        raise LocError("setup failed.", "The log ends: no network.", "Mend that.")

    monkeypatch.setattr(steps, "STEPS", {"up": ("The services start", up)})
    with pytest.raises(LocError) as failed:
        soaking.soak(1, number=4, publish=False, new=True, say=lambda _: None, begun=lambda _: None)
    error = failed.value
    assert (error.what, error.why) == ("setup failed.", "The log ends: no network.")
    assert error.fix == "Mend that."


@pytest.mark.parametrize("stopped_in", ["load", "validation"])
def test_a_soak_that_is_stopped_begins_nothing_more_and_can_still_pass(
    data, monkeypatch, stopped_in: str
):
    begun, ran = [], []

    def machine(proof: Proof):
        ran.append("validation")
        proof.ready = {"cube"}
        yield ok("well")

    def later(proof: Proof):
        if begun and stopped_in == "validation":
            begun[0].set()
            yield fail("Its child was ended.")
        yield ok("well")

    def run(self: Load, seconds: float) -> Stretch:
        ran.append("load")
        if stopped_in == "load":
            self.stopped.set()
        return Stretch(seconds=seconds)

    monkeypatch.setattr(steps, "STEPS", {"a": ("A", machine), "b": ("B", later), "c": ("C", later)})
    monkeypatch.setattr(Load, "run", run)
    options = {"number": 4, "publish": False, "new": True, "say": lambda _: None}
    soak, fitted = soaking.soak(24, begun=begun.append, **options)
    expected = ["validation", "load", "validation"]
    assert ran == (expected if stopped_in == "validation" else expected[:2])
    (outcome,) = soak.runs
    assert (outcome.validations, outcome.failed_validations) == (1, 0)
    assert outcome.seconds == soaking.CYCLE and soaking.passed(soak, fitted)
    assert soak.left(24) == 24 * 3600 - soaking.CYCLE and soak.left(0.25) == 0
    assert ledger.find(24, new=False).folder == soak.folder


def write_sample(folder: Path, rows: int, seed: int) -> None:
    (folder / "shop.csv").write_text("id\n" + "".join(f"{n}\n" for n in range(rows)))


@pytest.mark.parametrize(
    ("rows", "who", "expected"),
    [
        (10, "a person", 10),
        (9, pipeline.SOAK, 10),  # it was killed
        (9, "a person", None),  # as it was asked for
    ],
)
def test_a_sample_that_a_killed_soak_has_left_smaller_is_made_whole(
    data, monkeypatch, rows: int, who: str, expected: int | None
):
    table = Table("shop", {"id": "BIGINT"}, "shop*", (), "file")
    source = FileSource("shop", [table], sample=write_sample, sample_rows=10)
    for module in (sources, pipeline):
        monkeypatch.setattr(module, "find_sources", lambda: {"shop": source})
    source.load_sample(rows, who=who, report=lambda *_: None)
    request = pipeline.request_of_all()
    assert (request.rows, request.source) == (expected, "shop" if expected else "")


def test_latencies_are_those_of_all_stretches_of_a_run(data):
    chance = random.Random(1)
    soak = ledger.find(1, new=False)
    soak.begin(20)
    values = []
    for stretch in range(3):
        (run,) = soak.runs
        before = copy.deepcopy(run)
        some = [chance.lognormvariate(-2, 1) * (stretch + 1) for _ in range(1000)]
        values += some
        for known in (some[:1], some[:500], some):  # as it grows
            ledger.note(run, Stretch(latencies={"cube": known}, reads=Counter(cube=1000)), before)
        soak.save()
        soak = ledger.read(soak.folder)
    middle, high, slowest = soak.runs[0].latencies["cube"]
    values.sort()
    assert middle == pytest.approx(values[1500], rel=0.02)
    assert high == pytest.approx(values[2850], rel=0.02)
    assert slowest == round(max(values), 3)
    row = f"| cube | 3,000 | {middle:.2f} s | {high:.2f} s | {slowest:.2f} s |"
    assert row in soaking.page(soak, [])
