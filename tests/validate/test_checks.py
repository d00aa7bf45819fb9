"""What the steps of ``loc validate`` find, each on its own, without a platform."""

import json
import socket
import threading
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from proto_loc import credentials
from proto_loc.doctor.finding import Finding, ok
from proto_loc.errors import LocError
from proto_loc.metrics.definitions import Dimension, Metric, SemanticModel
from proto_loc.metrics.formats import Format
from proto_loc.settings import settings
from proto_loc.validate import access, doors, figures, pages, report, rows, stack, steps
from proto_loc.validate.figures import Expected
from proto_loc.validate.proof import Outcome, Proof, skip, verdict_of


@pytest.fixture
def proof(data, tmp_path) -> Proof:
    return Proof(report.new_folder())


EXPECTED = Expected(
    1,
    {
        ("shop", "orders", "", ""): "180",
        ("shop", "sales", "", ""): "1234.50",
        ("shop", "share", "", ""): "0.1",
        ("shop", "orders", "country", "DE"): "100",
        ("shop", "orders", "country", None): "80",
    },
    {("shop", "share")},
    {"shop": ["country"]},
)


def test_equal_figures_are_equal_in_any_writing():
    shown = {
        ("shop", "orders", "", ""): 180,
        ("shop", "sales", "", ""): Decimal("1234.5"),
        ("shop", "share", "", ""): 0.1 + 1e-12,
        ("shop", "orders", "country", "DE"): "100",
        ("shop", "orders", "country", None): 80.0,
    }
    assert figures.differences(EXPECTED, shown) == []


@pytest.mark.parametrize(
    ("key", "figure", "sentence"),
    [
        (("shop", "sales", "", ""), "1234.51", "sales is 1234.51, and the warehouse has 1234.50"),
        (("shop", "share", "", ""), 0.1 + 1e-8, "share is 0.10000001, and the warehouse has 0.1"),
        (("shop", "orders", "", ""), None, "orders is no figure, and the warehouse has 180"),
        (
            ("shop", "orders", "country", "FR"),
            1,
            "orders of country FR is 1, and the warehouse has none",
        ),
    ],
)
def test_another_figure_is_named_with_both(key, figure, sentence: str):
    assert figures.differences(EXPECTED, {**EXPECTED.figures, key: figure}) == [sentence]


def test_money_is_compared_to_the_last_cent_of_a_large_sum():
    """Bug to guard against: as doubles, the two would be the same to 1e-9."""
    assert figures.same("98765432109876.54", "98765432109876.54", exact=True)
    assert not figures.same("98765432109876.54", "98765432109876.55", exact=True)


def test_rows_of_a_chart_are_compared_without_order_and_types_of_json():
    shown = [{"day": 1735689600000, "n": 2.0, "name": None}, {"day": None, "n": 1, "name": "a"}]
    same = [(None, 1, "a"), (date(2025, 1, 1), Decimal("2.00"), None)]
    assert rows.difference(shown, same) == ""
    assert rows.difference(shown, [(None, 1, "a"), (datetime(2025, 1, 1), 2, None)]) == ""
    assert "it shows 2.0, and the file has 3.0" in rows.difference(
        shown, [(None, 1, "a"), (date(2025, 1, 1), 3, None)]
    )
    assert rows.difference(shown, same[:1]) == "it shows 2 rows, and the file has 1"


@pytest.fixture
def naive(data, port_prefix, monkeypatch) -> Iterator[ThreadingHTTPServer]:
    """A server on Cube's port that lets everyone in."""
    monkeypatch.setenv("LOC_PORT_PREFIX", port_prefix)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", settings().port("cube")), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_service_that_lets_everyone_in_is_found_by_every_caller(naive, proof, monkeypatch):
    monkeypatch.setattr(access, "DOORS", access.DOORS[:4])
    for name in ("home", "metrics", "dagster", "cube"):
        credentials.secret(name)
    proof.ready = {"cube"}
    findings = list(access.matrix(proof))
    assert all(finding.status == "fail" for finding in findings) and len(findings) == 6
    callers = {finding.what.partition("secret: ")[2].rstrip(".") for finding in findings}
    assert callers == {
        *("home", "metrics", "dagster"),
        *(access.ANYONE, access.FOREIGN_HOST, access.FOREIGN_ORIGIN),
    }
    assert proof.access["cube"] == {"cube": "200"}


def test_a_service_that_refuses_its_own_secret_is_found(data, proof, port_prefix, monkeypatch):
    monkeypatch.setenv("LOC_PORT_PREFIX", port_prefix)
    monkeypatch.setattr(access, "DOORS", access.DOORS[3:4])
    credentials.secret("cube")
    proof.ready = {"cube"}
    first, *_ = access.matrix(proof)
    assert first.what == "cube refuses its own secret: it answers None."


def test_a_neighbour_on_a_port_is_not_taken_for_the_service(data):
    with socket.create_server(("127.0.0.1", 0)) as server:
        finding = stack._neighbour("cube", server.getsockname()[1])
    assert finding.status == "fail" and "another process answers on port" in finding.what
    assert "pid" in finding.why


def test_a_machine_without_a_browser_is_not_checked(proof, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("LOC_CHROMIUM", raising=False)
    (finding,) = pages.pictures(proof)
    assert finding.status == "skip" and "there is no Chromium here" in finding.what
    monkeypatch.setenv("LOC_CHROMIUM", "/bin/false")
    (finding,) = pages.pictures(proof)
    assert finding.status == "skip" and "/bin/false does not start" in finding.what


@pytest.mark.parametrize(
    ("step", "name"),
    [(doors.dashboards, "Superset"), (doors.cube, "Cube"), (doors.notebook, "JupyterLab")],
)
def test_a_reader_that_is_off_is_not_called_passed(proof, step, name: str):
    (finding,) = step(proof)
    assert finding.status == "skip" and f"{name} is not ready" in finding.what


def test_what_a_step_stumbles_over_fails_it_and_the_next_one_runs(proof):
    def refused(_: Proof) -> Iterator[Finding]:
        yield ok("one thing is well")
        raise LocError("It is refused.", "why", "fix")

    def broken(_: Proof) -> Iterator[Finding]:
        raise KeyError("result")
        yield

    chosen = {"a": ("A", refused), "b": ("B", broken), "c": ("C", lambda _: iter([skip("no")]))}
    steps.run(proof, chosen, lambda *_: None)
    assert [outcome.verdict for outcome in proof.outcomes] == ["failed", "failed", "not checked"]
    assert proof.failed and proof.outcomes[0].summary == "It is refused."
    assert "KeyError: 'result'" in proof.outcomes[1].findings[0].what


def test_a_step_without_a_finding_is_not_called_passed():
    assert verdict_of([]) == verdict_of([skip("x")]) == "not checked"
    assert verdict_of([skip("x"), ok("y")]) == "passed"


def test_a_report_escapes_what_it_quotes_and_old_ones_go(proof):
    finding = Finding("fail", "<script>x", repair=lambda: "a repair is in no report")
    proof.outcomes = [Outcome("a", "<b>A</b>", "failed", 1, [finding])]
    page = report.write(proof).read_text()
    assert "<script>" not in page and "&lt;script&gt;x" in page
    for _ in range(report.KEPT + 2):
        report.write(Proof(report.new_folder()))
    assert len(list((settings().run / "validate").iterdir())) == report.KEPT


def test_a_report_shows_figures_as_a_person_reads_them(proof):
    """Bug: it showed 857372.2400000006; the exact figures are in the data and under the pointer."""
    formats = {
        "miles": Format("number", 2),
        "share": Format("percent", 1),
        "odd": Format("count", 0),
    }
    metrics = tuple(Metric(name, name, "", "simple", form, ()) for name, form in formats.items())
    day = Dimension("day", "Day", "", (), "day")
    proof.models = [
        SemanticModel("trips", "", "", "", "", "marts", "trips", (), (day,), metrics, day, ())
    ]
    proof.record("Cube", {"miles": 857372.2399999987, "share": Decimal("0.04693"), "odd": "<none>"})
    proof.record("warehouse", {"miles": 857372.2400000006, "share": None})
    page = report.write(proof).read_text()
    assert page.count(">857,372.24</td>") == 2 and ">4.7%</td>" in page
    assert 'title="857372.2400000006"' in page and ">&lt;none&gt;</td>" in page
    data = json.loads((proof.folder / "report.json").read_text())
    assert data["figures"]["miles"]["Cube"] == "857372.2399999987"
