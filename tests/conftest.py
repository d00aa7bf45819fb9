"""Fixtures that every suite may use."""

import fcntl
import itertools
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from proto_loc.settings import PORTS, port_setting

REPO = Path(__file__).resolve().parent.parent

SHARED = REPO / ".pc_env"
for service, port in PORTS.items():  # a fork may have other ports; tests move these by a prefix
    name = port_setting(service)
    if name in os.environ or (SHARED.exists() and name in SHARED.read_text()):
        os.environ[name] = str(port)

NO_TLC = "real TLC files are not at"
NO_SUPERVISOR = "process-compose is not on PATH"
CANNOT_BE_HAD = (NO_TLC, NO_SUPERVISOR)
"""Reasons to skip a test that ``--no-skips`` allows: no package registry has these."""


def pytest_addoption(parser: pytest.Parser) -> None:
    excused = ", ".join(CANNOT_BE_HAD)
    parser.addoption(
        "--no-skips",
        action="store_true",
        help=f"A test that is skipped has failed, unless: {excused}.",
    )
    parser.addoption("--all", action="store_true", help="Run what is slow by nature, too.")


LONGEST = (
    *(
        "superset",
        "validate",
        "backup-stack",
        "dagster",
        "platform",
        "acceptance",
        "chaos",
        "notebooks",
        "superset-provision",
        "cube",
    ),
    "tests/stack/test_platform.py",
    *("odd", "source", "tests/docs/test_docs.py", "parity", "mcp", "discover"),
    *("patterns", "accounts", "tests/chaos/test_kill.py", "nix", "real-files"),
)
"""Groups and files that take longest, in order of time.

They start first, so that no process works alone at the end of the run.
"""


OF_THE_DEMONSTRATION = (
    "acceptance",
    "ai/test_chat.py",
    *("ask/test_ask.py", "ask/test_evaluate.py"),
    *("chaos/test_full_disk.py", "chaos/test_matrix.py"),
    "cube/test_model.py",
    *(f"dagster/test_{name}.py" for name in ("browser", "definitions", "runs", "web")),
    "devcontainer/test_lifecycle.py",
    *("discover", "docs", "mcp"),
    "fork/test_emptied.py",
    "nix/test_nix_stack.py",
    *("notebooks", "pipeline"),
    "stack/test_platform.py",
    "superset",
    "validate/test_validate.py",
    *(
        f"unit/test_{name}.py"
        for name in ("bundle", "metrics", "outcomes", "portable_sql", "time_zone")
    ),
)
"""Suites and files that need the demonstration's data; a fork without it runs the others."""
LEFT_OUT = {
    reason: names
    for reason, path, names in (
        ("the demonstration", "pipelines/taxi/__init__.py", OF_THE_DEMONSTRATION),
        ("a folder of workflows", ".github/workflows", ("ci", "docs")),
    )
    if not (REPO / path).exists()
}
"""What a fork does not have → the suites and files that need it."""
IGNORED = {REPO / "tests" / name for names in LEFT_OUT.values() for name in names}


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    return True if collection_path in IGNORED else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for reason, names in LEFT_OUT.items():
        terminalreporter.write_line(f"Left out, as {reason} is not here: {', '.join(names)}")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out slow tests unless ``--all`` is given, and run the longest ones first."""
    if not config.getoption("all"):
        slow = [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]
    ranks = {name: rank for rank, name in enumerate(LONGEST)}

    def rank(item: pytest.Item) -> int:
        group = item.get_closest_marker("xdist_group")
        name = group.args[0] if group else item.nodeid.partition("::")[0]
        return ranks.get(name, len(ranks))

    items.sort(key=rank)


def _judged(report, config: pytest.Config):
    known = any(reason in str(report.longrepr) for reason in CANNOT_BE_HAD)
    if (
        report.skipped
        and config.getoption("no_skips")
        and not known
        and not hasattr(report, "wasxfail")
    ):
        report.outcome, report.longrepr = (
            "failed",
            f"skipped, and --no-skips is set: {report.longrepr[-1]}",
        )
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    return _judged((yield), item.config)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector):
    return _judged((yield), collector.config)


@contextmanager
def _reserved() -> Iterator[str]:
    """Reserve a LOC_PORT_PREFIX: its ports stay free, and no other test uses it.

    There are five prefixes. Each of two processes has at most one for its session, one for its
    module and one for its test. So a test that waits for a prefix gets one when the other process's
    test ends.
    """
    end = time.monotonic() + 240
    with ExitStack() as held:
        yield next(prefix for prefix in itertools.cycle("12345") if _take(prefix, held, end))


def _take(prefix: str, held: ExitStack, end: float) -> bool:
    """Keep other tests and outgoing connections off the ports of a prefix; services may listen
    there.

    Ports with a prefix from 3 on are among those that Linux gives to outgoing connections, and a
    connection that stays open keeps a service from starting. Linux gives no connection a port that
    is bound, and lets a second socket listen on it if both may reuse the address.
    """
    with ExitStack() as taken:
        try:
            lock = taken.enter_context(
                Path(tempfile.gettempdir(), f"loc-tests-{prefix}.lock").open("w")
            )
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for port in PORTS.values():
                free = taken.enter_context(socket.socket())
                free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                free.bind(("127.0.0.1", int(f"{prefix}{port}")))
        except OSError as error:
            assert time.monotonic() < end, (
                f"each LOC_PORT_PREFIX is taken, the last one by: {error}"
            )
            time.sleep(0.05)
            return False
        held.enter_context(taken.pop_all())
        return True


@pytest.fixture
def port_prefix() -> Iterator[str]:
    """A ``LOC_PORT_PREFIX`` for one test."""
    with _reserved() as prefix:
        yield prefix


@pytest.fixture(scope="module")
def module_port_prefix() -> Iterator[str]:
    """A ``LOC_PORT_PREFIX`` for the services of one module of tests."""
    with _reserved() as prefix:
        yield prefix


@pytest.fixture(scope="session")
def session_port_prefix() -> Iterator[str]:
    """A ``LOC_PORT_PREFIX`` for services that run during a whole suite."""
    with _reserved() as prefix:
        yield prefix


@pytest.fixture(scope="session")
def tlc() -> Path:
    """A folder with real files of TLC (``LOC_TLC``), which are not part of the repository."""
    folder = Path(os.environ.get("LOC_TLC") or REPO.parent / "shared/data/tlc")
    if not folder.is_dir():
        pytest.skip(f"{NO_TLC} {folder}; set LOC_TLC to their folder")
    return folder


@pytest.fixture(autouse=True)
def _named_troubles(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator:
    """Check that doctor names the troubles with which a test is marked."""
    marks = {mark.args for mark in request.node.iter_markers("trouble")}
    if not marks:
        yield
        return
    import troubles

    from proto_loc import doctor

    for name, check in doctor.CHECKS.items():
        monkeypatch.setitem(doctor.CHECKS, name, troubles.recording(name, check))
    troubles.SEEN.clear()
    yield
    troubles.check(marks)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh data folder (``LOC_DATA``), with a run folder (``LOC_RUN``) beside it."""
    monkeypatch.setenv("LOC_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LOC_RUN", str(tmp_path / "run"))
    return tmp_path / "data"


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """Chromium (``LOC_CHROMIUM``, or the one of the machine), for tests in a real browser."""
    from playwright.sync_api import sync_playwright

    path = (
        os.environ.get("LOC_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    )
    if not path:
        pytest.skip("no Chromium here: apt-get install chromium, or set LOC_CHROMIUM to its path")
    with sync_playwright() as playwright:
        # Chromium's own sandbox does not work for root in a container.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def model() -> Iterator[Callable[..., tuple]]:
    """Starts a stand-in for a language model with the given answers.

    It returns the stand-in, and the settings that connect `loc` to it.
    """
    from benchmarks.llm import standin

    with ExitStack() as running:

        def start(answers) -> tuple:
            found = running.enter_context(standin(answers))
            return found, {
                "LOC_LLM_MODEL": "openai/standin",
                "LOC_LLM_URL": found.url,
                "NO_PROXY": "127.0.0.1",
            }

        yield start
