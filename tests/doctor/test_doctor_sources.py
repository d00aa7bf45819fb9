"""Doctor on what a fork owns: sources, their hosts, schedules, backups, `.env`."""

import socket
from pathlib import Path

import pytest
from clones import borrowing_clone
from troubles import in_shell

from proto_loc import credentials, doctor
from proto_loc.doctor.finding import Finding

FILES = """
from datetime import timedelta

from proto_loc.sources import Table
from proto_loc.sources.files import FileSource

TABLE = Table("orders", {"id": "integer"}, files="orders*.csv", fresh_within=timedelta(days=1))
SOURCE = FileSource("shop", (TABLE,))
"""
FETCHED = """
from proto_loc.sources.dlt.declaration import DltTable, Rest, Sql
from proto_loc.sources.dlt.source import DltSource

SOURCE = DltSource("shop", [DltTable("orders", {{"id": "bigint"}})], {place})
"""


class Clone:
    """A clone with one source, whose own copy of the platform runs the checks."""

    def __init__(self, root: Path) -> None:
        self.root = root
        borrowing_clone(root, "proto_loc", "locks", "golden.toml")
        (root / "pipelines/shop").mkdir(parents=True)
        (root / "pipelines/__init__.py").touch()

    def look(self, check: str, source: str = "", **env: str):
        if source:
            (self.root / "pipelines/shop/__init__.py").write_text(source)
        return in_shell(check, PYTHONPATH=str(self.root), **env)


@pytest.fixture
def clone(tmp_path: Path, data: Path) -> Clone:
    return Clone(tmp_path / "clone")


@pytest.fixture
def dead_port():
    """A port of this machine that nobody listens on, and nobody else gets."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        yield server.getsockname()[1]


@pytest.mark.trouble("sources", "Figures are old, or rows are missing")
def test_a_table_without_a_load_in_time(clone):
    finding = clone.look("sources", FILES)
    assert finding.status == "warn" and "No load; the declaration wants one" in finding.what
    assert finding.fix == "Load a newer or a whole file: `loc load shop FILES`."


@pytest.mark.trouble("sources", "Commands stop at the code of a source")
def test_a_source_with_a_fault_in_its_code(clone):
    finding = clone.look("sources", f"{FILES}nosuch\n")
    assert finding.status == "fail" and "pipelines/shop/__init__.py, line 9: NameError" in (
        finding.what
    )
    assert finding.fix.startswith("Mend that line")


@pytest.mark.trouble("hosts", "A source cannot be fetched: its host does not answer")
@pytest.mark.parametrize("kind", ["api", "database"])
def test_a_source_whose_host_does_not_answer(clone, dead_port: int, kind: str):
    """The address of a database is in a secret, of which no message has more than the host."""
    place = f'Rest("http://127.0.0.1:{dead_port}/v1", ())'
    if kind == "database":
        place = 'Sql("shop-dsn")'
        dsn = f"postgresql+psycopg2://user:hidden@127.0.0.1:{dead_port}/shop"
        credentials.keep("shop-dsn", dsn)
    finding = clone.look("hosts", FETCHED.format(place=place))
    assert finding.what == f"The host of the source shop, 127.0.0.1:{dead_port}, does not answer."
    assert finding.why == "Connection refused." and "hidden" not in str(finding)
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f'Rest("http://127.0.0.1:{server.getsockname()[1]}/v1", ())'
        assert clone.look("hosts", FETCHED.format(place=place)).what == "shop: the hosts answer"


@pytest.mark.trouble("env-file", "Every command refuses a line of `.env`")
def test_a_bad_line_of_the_file_of_settings(clone):
    assert clone.look("env-file").status == "ok"
    file = clone.root / ".env"
    file.write_text("# ports\nLOC_PORT_PREFIX 1\n")
    finding = clone.look("env-file")
    assert finding.status == "fail" and finding.what == f"{file}, line 2: this is not a setting."


def test_nothing_is_repaired_while_the_file_of_settings_cannot_be_read():
    """Bug: the usual data folder was tidied, and not the one that the file names."""
    repaired = []
    bad = Finding("fail", ".env, line 2: this is not a setting.", "It reads X.")
    left = Finding("warn", "Something is left.", repair=lambda: repaired.append(1) or "Removed.")
    (_, first), second = doctor.mend([("env-file", bad), ("staging", left)])
    assert repaired == [] and second == ("staging", left)
    assert first.status == "fail" and "Nothing was repaired" in first.why


@pytest.mark.trouble("env-file", "Other users of the machine can read a secret of `.env`")
def test_a_secret_in_a_file_of_settings_that_others_can_read(clone):
    file = clone.root / ".env"
    file.write_text("LOC_PORT_PREFIX=1\n")
    file.chmod(0o644)
    assert clone.look("env-file").status == "ok", "there is no secret in it"
    file.write_text("NOTIFY_TEAM=https://127.0.0.1/secret-text\nexport SHOP_PASSWORD=secret-text\n")
    finding = clone.look("env-file")
    assert finding.status == "warn" and "which holds NOTIFY_TEAM, SHOP_PASSWORD." in finding.what
    assert "secret-text" not in str(finding) and finding.fix == f"chmod 600 '{file}'"


@pytest.mark.trouble("backups", "A backup is missing, or has failed")
def test_a_backup_that_is_declared_and_missing(clone, tmp_path):
    clock = 'cron = "0 3 * * *"\ntime_zone = "UTC"\non = true'
    text = f'name = "shop"\n[backup]\nfolder = "{tmp_path}/backups"\n{clock}\n'
    (clone.root / "fork.toml").write_text(text)
    finding = clone.look("backups")
    assert finding.status == "warn" and "no backup has been made in time, none yet" in finding.what


@pytest.mark.trouble("schedules", "A schedule does not run, or a command refuses `fork.toml`")
def test_a_mistake_in_fork_toml(clone):
    (clone.root / "fork.toml").write_text('name = "shop"\n[schedules]\nnight = { cron = "x" }\n')
    finding = clone.look("schedules")
    assert finding.status == "fail" and f"{clone.root}/fork.toml, line 3: night" in finding.what
