"""Superset's metadata in PostgreSQL, with one setting."""

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from supersets import Superset

pytestmark = [pytest.mark.xdist_group("superset"), pytest.mark.timeout(300)]

USER = "nobody"
"""The user of PostgreSQL's server, which does not run as root."""


@pytest.fixture
def postgresql(tmp_path: Path) -> Iterator[str]:
    """The address of a PostgreSQL of one test, on a Unix socket in its own folder.

    The password is in a file.
    """
    programs = max(
        Path("/usr/lib/postgresql").glob("*/bin"),
        default=None,
        key=lambda path: int(path.parent.name),
    )
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    home = Path(
        tempfile.mkdtemp(prefix="loc-pg-", dir="/tmp")
    )  # a socket's path may have 107 bytes
    as_user = (
        ["setpriv", f"--reuid={USER}", "--regid=nogroup", "--clear-groups"]
        if os.geteuid() == 0
        else []
    )
    if as_user:
        shutil.chown(home, USER)

    def run(*command: object) -> None:
        done = subprocess.run(
            [*as_user, *map(str, command)], cwd=home, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr

    password, passfile = home / "password", tmp_path / "pgpass"
    password.write_text("of-the-test")
    password.chmod(0o644)
    passfile.write_text("*:*:*:superset:of-the-test\n")
    passfile.chmod(stat.S_IRUSR | stat.S_IWUSR)
    run(
        programs / "initdb",
        "-D",
        home / "data",
        "-U",
        "superset",
        "-A",
        "scram-sha-256",
        f"--pwfile={password}",
    )
    start = f"-k {home} -c listen_addresses= -c fsync=off"
    run(programs / "pg_ctl", "-D", home / "data", "-o", start, "-l", home / "log", "-w", "start")
    try:
        yield f"postgresql://superset@/postgres?host={home}&passfile={passfile}"
    finally:
        run(programs / "pg_ctl", "-D", home / "data", "-m", "immediate", "-w", "stop")
        shutil.rmtree(home)


@pytest.mark.slow
def test_superset_is_the_same_on_postgresql(superset, postgresql, tmp_path, port_prefix):
    own = Superset(tmp_path / "own", port_prefix, {"LOC_SUPERSET_METADATA": postgresql})
    shutil.copytree(superset.home / "data/warehouse", own.home / "data/warehouse", symlinks=True)
    try:
        assert "objects of the bundle were imported" in own.provision()
        assert "imported" not in own.provision()
        assert not own.database.exists()
        admin = own.start().log_in()
        assert admin.figures("trips") == superset.log_in().figures("trips")
        assert admin.rows("select 1 as one") == [{"one": 1}]
        assert "not allowed" in admin.refusal("select * from read_csv('/etc/passwd')")
        admin.call("POST", "dashboard/", {"dashboard_title": "Mine"})
        own.stop()
        own.provision()
        assert "Mine" in {
            item["dashboard_title"] for item in own.start().log_in().items("dashboard")
        }
    finally:
        own.stop()


@pytest.mark.parametrize(
    "address", ["mysql://root@localhost/x", "sqlite:///relative.db?x", "nonsense"]
)
def test_another_kind_of_database_is_refused_by_the_name_of_the_setting(tmp_path, address):
    own = Superset(tmp_path, "", {"LOC_SUPERSET_METADATA": address})
    said = own.provision(check=False)
    assert (
        "LOC_SUPERSET_METADATA is not usable" in said
        and "fix: " in said
        and "Traceback" not in said
    )


def test_a_database_that_does_not_answer_is_named(tmp_path):
    own = Superset(
        tmp_path, "", {"LOC_SUPERSET_METADATA": f"postgresql://superset@/postgres?host={tmp_path}"}
    )
    said = own.provision(check=False)
    assert "error: Superset's metadata cannot be reached." in said and str(tmp_path) in said
    assert "fix: " in said and "Traceback" not in said
