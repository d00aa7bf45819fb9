"""All benchmarks in one table: what it has, what it leaves out, and what it calls failed."""

import json
from pathlib import Path

import pytest
from clone import Clone, add_shop, make_clone

import benchmarks.__main__ as program
from benchmarks import every, report
from benchmarks.figures import BYTES, COUNT, RATE, SECONDS, SHARE, Figure, Result
from proto_loc.docs import measured
from proto_loc.errors import LocError
from proto_loc.settings import ROOT

RUN = ("bench", "--quick", "--only", "pipeline", "--only", "warehouse", "--only", "superset")


def test_a_benchmark_that_fails_is_named_and_the_others_run(
    tmp_path: Path, session_port_prefix: str
):
    clone = make_clone(tmp_path, session_port_prefix)
    add_shop(clone)
    source = clone.folder / "pipelines/shop/__init__.py"
    source.write_text(source.read_text().replace("import duckdb", "raise ValueError('broken')"))
    done = clone.loc(*RUN, "--out", tmp_path / "out", check=False)
    assert done.returncode == 1
    assert "pipeline failed: error: " in done.stderr and "broken" in done.stderr
    assert "superset was left out: There is no chart to measure." in done.stderr
    text = (tmp_path / "out/report.md").read_text()
    assert "\n| warehouse | publish, 100 MB |" in text
    content = json.loads((tmp_path / "out/report.json").read_text())
    assert not content["passed"] and content["machine"].keys() == {
        *("processor", "memory", "system", "load", "disk")
    }
    assert content["versions"]["duckdb"] and str(tmp_path) not in str(content["machine"])
    by_name = {result["name"]: result for result in content["benchmarks"]}
    assert [*by_name] == ["pipeline", "warehouse", "superset"]
    assert "broken" in by_name["pipeline"]["faults"][0] and not by_name["pipeline"]["figures"]
    assert by_name["superset"]["left_out"] and not by_name["superset"]["faults"]
    warehouse = by_name["warehouse"]
    assert warehouse["command"] == f"./loc bench warehouse {every.QUICK['warehouse']}"
    publish = warehouse["figures"][0]
    assert publish["ratio"] == pytest.approx(publish["value"] / publish["floor"])
    assert len(publish["runs"]) == 3 and warehouse["seconds"] > 6
    errors = next(row for row in warehouse["figures"] if row["name"] == "errors")
    assert (errors["value"], errors["met"], warehouse["faults"]) == (0, True, [])


@pytest.mark.slow
def test_all_benchmarks_write_the_page_of_the_docs(shop: Clone, tmp_path: Path):
    page = shop.folder / "docs/performance.md"
    before = page.read_text()
    prefix = shop.variables["LOC_PORT_PREFIX"]
    options = ("--out", tmp_path / "out", "--write-docs", "--port-prefix", prefix)
    try:
        done = shop.loc("bench", "--quick", *options)
        text = page.read_text()
    finally:
        page.write_text(before)
    assert "superset was left out" in done.stderr
    for name in every.QUICK:
        assert f"\n| {name} | `./loc bench {name} {every.QUICK[name]}" in text
        assert name == "superset" or f"\n| {name} | " in text.partition("| figure |")[2]


SNAPSHOT = """
snapshots:
  - name: customer_history
    description: One row per customer and time in which nothing of it changed.
    relation: source('shop', 'customers')
    config: {schema: marts, unique_key: customer_id, strategy: check, check_cols: [country]}
"""
IN_PYTHON = "def model(dbt, session):\n    return session.sql('select 1 as one')\n"


@pytest.mark.slow
def test_the_floor_of_the_pipeline_has_snapshots_and_is_left_out_for_python(
    tmp_path: Path, session_port_prefix: str
):
    """Bug: the bare SQL lacked every snapshot, so that the benchmark failed on the demonstration.

    DuckDB alone runs no model in Python.
    """
    clone = make_clone(tmp_path, session_port_prefix)
    add_shop(clone)
    ratios = []
    for path, text in {
        "snapshots/customer_history.yml": SNAPSHOT,
        "models/marts/in_python.py": IN_PYTHON,
    }.items():
        file = clone.folder / "dbt" / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        done = clone.loc("bench", "pipeline", "--rows", "500", "--repeat", "2", "--json")
        figures = {figure["name"]: figure for figure in json.loads(done.stdout)["figures"]}
        assert figures["dbt, 500 rows"]["value"] > 0
        ratios.append(figures["dbt, 500 rows"]["ratio"])
    assert ratios[0] > 0 and ratios[1] is None


def test_each_benchmark_is_in_the_whole_in_both_sizes_and_on_the_page():
    commands = {command.callback.__name__ for command in program.app.registered_commands}
    assert set(every.FULL) == set(every.QUICK) == commands - {"trino"}, "it needs LOC_ENGINE=trino"
    before, after = measured.around(report.PAGE, report.COMMAND)
    outcomes = report.PAGE.read_text()[len(before) :].partition("| figure |")[0]
    for name in commands:
        assert f"| `loc bench {name}` |" in before
    for name in every.FULL:
        assert f"\n| {name} | `./loc bench {name} " in outcomes, "./loc bench --write-docs"
    assert after.strip() == ""


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["--only", "coffee"], "There is no benchmark 'coffee'."),
        (["--only", "cube", "--write-docs"], "docs/performance.md has all benchmarks."),
        (["--quick", "cube"], "An option of all benchmarks stands before the name of one."),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_runs(words, fault: str):
    with pytest.raises(LocError) as raised:
        program.typer.main.get_command(program.app)(words, standalone_mode=False)
    assert raised.value.what == fault and raised.value.exit_code == 2


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [
        (SECONDS, 12.3456, "12.35 s"),
        (SECONDS, 0.4567, "457 ms"),
        (SECONDS, 0.0123, "12.3 ms"),
        (BYTES, 1_234_567, "1.2 MB"),
        (SHARE, 0.01234, "1.23 %"),
        (RATE, 1234.5, "1,234 /s"),
        (RATE, 1.5, "1.50 /s"),
        (COUNT, 1234, "1,234"),
    ],
)
def test_a_figure_is_rounded_as_a_person_reads_it(unit: str, value: float, text: str):
    assert Figure("a", value, unit, "b").cells() == ("a", text, "", "", "", "", "", "b")


def test_a_figure_has_its_ratio_spread_and_verdict():
    figure = Figure.of("a", [2, 4, 3], "b", floor=1.5, target=2.5)
    assert figure.cells() == (
        *("a", "3.00 s", "2.00 s to 4.00 s", "1.50 s", "2.00", "2.50 s", "missed", "b"),
    )
    many = Figure.of("a", [number / 10 for number in range(1, 101)], "b", target=5.05)
    assert many.cells()[2] == "p95 9.60 s" and many.met
    result = Result("cube", [figure, many], command="./loc bench cube", busy=0.5)
    assert Result.read(json.loads(json.dumps(result.plain()))) == result


def test_the_report_says_that_the_machine_was_not_quiet_and_what_failed():
    made = report.Report("./loc bench", {"processor": "one"}, {"duckdb": "1"})
    made.results = [
        Result("cube", [Figure.of("all", [2.0], "a | b", floor=1.0)], busy=0.01),
        Result("ai", faults=["It was ended by signal 9."], busy=0.34),
    ]
    text = made.markdown()
    assert "**The machine was not quiet**: others used up to 34% of the processor" in text
    assert "| ai | `` | 0 s | 34% | It was ended by signal 9. |" in text
    assert "| cube | all | 2.00 s |  | 1.00 s | 2.00 |  |  | a \\| b |" in text
    assert not made.content()["passed"]
    made.results[1].faults = ["a long traceback " * 100]
    (row,) = [line for line in made.markdown().splitlines() if line.startswith("| ai |")]
    assert len(row) < 400 and "… (whole in report.json)" in row
    made.results = made.results[:1]
    assert "not quiet" not in made.markdown() and made.content()["passed"]


def test_a_benchmark_that_is_killed_is_named(monkeypatch, tmp_path: Path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho working >&2\nkill -9 $$\n")
    python.chmod(0o755)
    monkeypatch.setattr(every.sys, "executable", str(python))
    monkeypatch.setattr(every.machine, "busy", lambda: 0.0)
    lines = []
    (result,) = (every._run(name, [], lines.append) for name in ("cube",))
    assert result.faults == ["working It was ended by signal 9."] and lines == ["  working"]


def test_the_page_keeps_what_a_person_wrote_around_the_figures(tmp_path: Path):
    page = tmp_path / "page.md"
    for text in ("", "<!-- a: begin -->", "<!-- a: end --><!-- a: begin -->", "x" * 3):
        page.write_text(text)
        with pytest.raises(LocError, match="has no place for the figures"):
            measured.write(page, "a", "new")
        assert page.read_text() == text
    page.write_text("one\n<!-- a: begin -->old<!-- a: end -->\ntwo\n")
    measured.write(page, "a", "new\n")
    assert page.read_text() == "one\n<!-- a: begin -->\n\nnew\n\n<!-- a: end -->\ntwo\n"


def test_the_machine_is_read(tmp_path: Path):
    read = every.machine.machine(tmp_path)
    assert "cores" in read["processor"] and "fsync at" in read["disk"]
    assert [*tmp_path.iterdir()] == [] and str(ROOT) not in str(read)
