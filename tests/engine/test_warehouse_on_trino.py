"""Writes, audits and publishes on Trino: versions, conflicts, kills, and no torn read."""

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from published import ROWS, files_of, loc, publish_pair, write_pair

from proto_loc import warehouse
from proto_loc.settings import ROOT, environment_folder, settings
from proto_loc.trino import identities
from proto_loc.warehouse import ledger, store
from proto_loc.warehouse.errors import PublishError, WarehouseError
from proto_loc.warehouse.iceberg import catalogues, column_types, metadata, nessie
from proto_loc.warehouse.iceberg.connection import StatementFailed, TrinoConnection

pytestmark = pytest.mark.slow  # three servers of Java: see conftest

PYTHON = environment_folder("trino") / "bin/python"
SEED = int(os.environ.get("LOC_SEED") or random.randrange(2**32))


@pytest.fixture
def pair(sample) -> int:
    """The number of a published pair of tables."""
    publish_pair(1)
    return 1


def read_pair(catalogue: str = "", identity: str = "cli") -> tuple[int, int]:
    """The numbers of both tables, in one statement."""
    name = catalogue or catalogues.of_version(store.current_id("prod"))
    with TrinoConnection(identity, catalog=name, schema="marts") as con:
        return con.execute("select (select number from one), (select number from two)").fetchone()


def sessions() -> list[str]:
    """Branches and catalogues of write sessions."""
    with catalogues.writer() as con:
        found = [name for name in catalogues.existing(con) if name.startswith("s_")]
    return found + [one.name for one in nessie.references() if one.name.startswith("s_")]


def test_a_publish_is_a_tag_and_moves_main(pair):
    before = warehouse.current("prod")
    version = publish_pair(2)
    name = catalogues.of_version(version.id)
    assert nessie.head() == nessie.head(name) == version.facts["iceberg"]["hash"]
    assert nessie.head(catalogues.of_version(before.id)) == before.facts["iceberg"]["hash"]
    assert read_pair() == read_pair(name) == read_pair("prod") == (2, 2)
    assert read_pair(catalogues.of_version(before.id)) == (1, 1)
    assert version.based_on == before.id and version.engine == "trino"
    assert version.columns()["marts.one"] == {"number": "integer"}
    assert sessions() == []


def test_nobody_sees_a_session(pair):
    with warehouse.write("prod", who="hidden") as session, session.connect() as con:
        write_pair(con, 3)
        assert read_pair() == read_pair("prod") == (1, 1)
        with pytest.raises(StatementFailed, match="Access Denied|Cannot access"):
            read_pair(catalogues.session())
        session.discard()
    assert read_pair() == (1, 1) and sessions() == []


def test_a_failed_session_publishes_nothing(pair):
    with (
        pytest.raises(RuntimeError, match="on purpose"),
        warehouse.write("prod", who="failing") as session,
        session.connect() as con,
    ):
        write_pair(con, 4)
        raise RuntimeError("on purpose")
    assert read_pair() == read_pair("prod") == (1, 1) and sessions() == []


def test_a_rivals_publish_is_a_named_conflict_and_loses_nothing(pair):
    serving = store.current_id("prod")
    with (
        pytest.raises(PublishError) as late,
        warehouse.write("prod", who="late") as session,
        session.connect() as con,
    ):
        write_pair(con, 5)
        _rival_writes()
    assert "Another writer has published" in late.value.why
    assert store.current_id("prod") == serving and read_pair() == (1, 1)
    assert read_pair("prod") == (6, 6)  # what the rival wrote is there
    nessie.create("v999", "TAG", nessie.head())  # of the rival
    with pytest.raises(PublishError) as refused:
        publish_pair(7)
    assert nessie.find("v999"), "Bug: tags of another platform were removed before the refusal"
    assert f"main is not at version {serving}" in refused.value.what
    assert f"loc db rollback {serving}" in refused.value.fix
    warehouse.rollback("prod", serving)
    assert read_pair("prod") == (1, 1)
    assert publish_pair(8).id > serving and read_pair("prod") == (8, 8)
    assert nessie.find("v999") is None, "main is at a version of this platform: it is a remain"


def _rival_writes() -> None:
    """Write to main as somebody who shares Nessie and knows nothing of versions."""
    with catalogues.writer() as con:
        nessie.create("rival", "BRANCH", nessie.head())
        catalogues.create(con, "rival", "rival")
        for table in ("one", "two"):
            con.execute(f"create or replace table rival.marts.{table} as select 6 as number")
        catalogues.drop(con, "rival")
    branch = nessie.find("rival")
    nessie.assign(nessie.MAIN, nessie.head(), branch)
    nessie.delete(branch)


def test_history_diff_rollback_and_prune(pair):
    first = warehouse.current("prod")
    with warehouse.write("prod", who="wider") as session, session.connect() as con:
        con.execute("drop table marts.one")
        con.execute(
            "create table marts.one as select 2 as number, 'a' as text union all select 3, 'b'"
        )
    second = session.version
    changed = {one.name: one for one in warehouse.diff("prod", first.id, second.id)}["marts.one"]
    assert (changed.status, changed.rows_before, changed.rows_after) == ("schema", 1, 2)
    assert changed.columns == ("+ text varchar",)
    assert [version.id for version in warehouse.history("prod")][:2] == [second.id, first.id]
    assert warehouse.rollback("prod").id == first.id
    assert read_pair("prod") == read_pair() == (1, 1) and nessie.head() == nessie.head(
        f"v{first.id}"
    )
    assert warehouse.rollback("prod", second.id).id == second.id
    verdicts = {verdict.id: verdict for verdict in warehouse.verify("prod", [first.id, second.id])}
    assert {verdict.state for verdict in verdicts.values()} == {"whole"}
    files = files_of(settings().data / "iceberg")
    assert first.id in warehouse.prune("prod", keep=1, now=True)
    assert nessie.find(f"v{first.id}") is None and nessie.find(f"v{second.id}") is not None
    with catalogues.writer() as con:
        assert f"v{first.id}" not in catalogues.existing(con)
    left = files_of(settings().data / "iceberg")
    assert left < files, "the files of the pruned version's own tables are gone"
    with second.open() as con:
        assert con.execute("select sum(number) from marts.one").fetchone() == (5,)
        assert con.execute("select count(*) from marts.mart_taxi_trips").fetchone()[0] > ROWS / 2


def test_a_lost_tag_or_other_rows_are_damage(pair):
    version = publish_pair(9)
    tag = nessie.find(f"v{version.id}")
    nessie.delete(tag)
    (verdict,) = warehouse.verify("prod", [version.id])
    assert verdict.state == "damaged" and f"tag v{version.id} is gone" in verdict.damage.why
    with pytest.raises(warehouse.VersionDamaged):
        warehouse.rollback("prod", version.id)
    nessie.create(tag.name, "TAG", tag.hash)
    (verdict,) = warehouse.verify("prod", [version.id])
    assert verdict.state == "whole"


def test_a_lost_file_of_data_is_damage(pair):
    """Bug: Trino counts rows from Iceberg's lists, and so found all rows of a table without its
    file.
    """
    version = publish_pair(10)
    name = catalogues.of_version(version.id)
    with TrinoConnection(identities.WRITER, catalog=name, schema="marts") as con:
        ((where,),) = con.execute('select file_path from "one$files"').fetchall()
    (file,) = (settings().data / "iceberg").rglob(where.rpartition("/")[2])
    with moved_away(file):
        (verdict,) = warehouse.verify("prod", [version.id], values=True)
        assert verdict.state == "damaged" and file.name in verdict.damage.why
    (verdict,) = warehouse.verify("prod", [version.id])
    assert verdict.state == "whole"


@pytest.mark.parametrize("values", [False, True])
@pytest.mark.parametrize("state", ["lost", "cut off"])
def test_a_damaged_file_of_metadata_is_damage(pair, state, values):
    version = publish_pair(10)
    (table,) = (one for one in nessie.tables(f"v{version.id}") if one.name == "one")
    file = settings().data / table.metadata.removeprefix("local:///")
    with moved_away(file) as kept:
        if state == "cut off":
            file.write_bytes(kept.read_bytes()[:100])
        (verdict,) = warehouse.verify("prod", [version.id], values=values)
        assert verdict.state == "damaged" and table.metadata in verdict.damage.why
    (verdict,) = warehouse.verify("prod", [version.id])
    assert verdict.state == "whole"


def test_a_publish_whose_answer_is_lost_is_served_by_the_next_session(pair, monkeypatch):
    """Bug: the version's folder was removed, and main stayed on a version that was not there."""
    assign = nessie.assign

    def without_answer(name, expected, to):
        assign(name, expected, to)
        raise WarehouseError("Nessie does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(nessie, "assign", without_answer)
        with pytest.raises(WarehouseError, match="Nessie does not answer"):
            publish_pair(11)
    assert read_pair() == (1, 1) and read_pair("prod") == (11, 11)
    assert publish_pair(12).tables["marts.one"] == 1 and read_pair() == (12, 12)


def test_a_version_that_goes_while_main_is_at_it_leaves_an_empty_main(pair):
    """Bug: after a move back to DuckDB, main named tables that no version knew, so that no move
    was possible.
    """
    served, gone = warehouse.current("prod"), publish_pair(13)
    warehouse.rollback("prod", served.id)
    tag = nessie.find(catalogues.of_version(gone.id))
    nessie.assign(nessie.MAIN, nessie.head(), tag)
    gone.keeper.remove(gone)
    store.remove(gone.folder)
    assert list(nessie.tables(nessie.MAIN)) == [] and nessie.find(tag.name) is None
    warehouse.rollback("prod", served.id)
    assert read_pair() == read_pair("prod") == (1, 1)


@contextmanager
def moved_away(file: Path) -> Iterator[Path]:
    elsewhere = file.rename(file.with_suffix(".away"))
    try:
        yield elsewhere
    finally:
        elsewhere.rename(file)


def test_rows_that_a_session_deletes_again_are_not_counted(pair):
    with warehouse.write("prod", who="deleting") as session, session.connect() as con:
        con.execute("drop table marts.one")
        con.execute("create table marts.one as select * from unnest(sequence(1, 10)) t(number)")
        con.execute("delete from marts.one where number > 7")
    assert session.version.tables["marts.one"] == 7
    (verdict,) = warehouse.verify("prod", [session.version.id])
    assert verdict.state == "whole"


def test_a_table_that_is_as_before_is_not_measured_again(pair, monkeypatch):
    """Its metadata file is the same, so it has the same rows, bytes and columns."""
    before = warehouse.current("prod")
    asked: list[str] = []
    statements: list[str] = []
    read, execute = metadata.read, TrinoConnection.execute

    def listen(tables):
        asked.extend(table.name for table in tables)
        return read(tables)

    def hear(self, statement, *parameters):
        statements.append(statement)
        return execute(self, statement, *parameters)

    monkeypatch.setattr(metadata, "read", listen)
    monkeypatch.setattr(TrinoConnection, "execute", hear)
    with warehouse.write("prod", who="adding") as session, session.connect() as con:
        con.execute("insert into marts.one values 5")
    after = session.version
    assert asked == ["one"] and not [one for one in statements if "count(" in one]
    assert after.tables == before.tables | {"marts.one": 2}
    assert after.columns() == before.columns() and after.bytes > before.bytes
    (verdict,) = warehouse.verify("prod", [after.id])
    assert verdict.state == "whole", "a look at all tables finds the same"


EVERY_TYPE = """
create table marts.types (a boolean, b integer, c bigint, d real, e double, f decimal(9, 2),
  g decimal(38, 0), h varchar, i varbinary, j date, k time(6), l timestamp(6),
  m timestamp(6) with time zone, n uuid, o array(row("a b" bigint, day date)),
  p map(varchar, array(decimal(20, 0))))
"""


def test_columns_and_totals_are_as_trino_says(pair, trino):
    """They are read from the files of Iceberg, without a statement."""
    with warehouse.write("prod", who="types") as session, session.connect() as con:
        con.execute(EVERY_TYPE)
        con.execute("create schema if not exists staging")
        con.execute("create table staging.one as select 1 as number")
        session.facts["views"] = {"staging.one": "one"}  # of raw, which is not published
    version = session.version
    assert version.tables["marts.types"] == 0 and "staging.one" not in version.tables
    for name, columns in version.columns().items():
        schema, table = name.split(".")
        found = trino(
            "select column_name, data_type from information_schema.columns where table_schema ="
            f" '{schema}' and table_name = '{table}' order by ordinal_position",
            catalog="prod",
        )
        # Trino writes the names of fields without quotes, so that `a b bigint` has two meanings.
        unquoted = [[column, kind.replace('"', "")] for column, kind in columns.items()]
        assert unquoted == [list(row) for row in found], name
        ((rows,),) = trino(f'select count(*) from {schema}."{table}"', catalog="prod")
        assert rows == version.tables[name]
    assert len(version.columns()) == len(version.tables) > 5
    kind = column_types.of_trino(version.columns()["marts.types"]["o"])
    assert kind == 'STRUCT("a b" BIGINT, "day" DATE)[]'


KILLED = """
import os, signal, sys
from published import publish_pair
from proto_loc.warehouse import store
from proto_loc.warehouse.iceberg import nessie
owner, name, after = {"tag": (nessie, "create", True), "main": (nessie, "assign", False),
    "moved": (nessie, "assign", True), "link": (store, "swap", False)}[sys.argv[1]]
real = getattr(owner, name)
def fatal(*arguments, **options):
    if sys.argv[1] == "tag" and arguments[1] == "BRANCH":
        return real(*arguments, **options)
    if after:
        real(*arguments, **options)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, name, fatal)
publish_pair(int(sys.argv[2]))
"""


def killed(*arguments: str) -> None:
    done = subprocess.run(
        [PYTHON, "-c", KILLED, *arguments],
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests/engine'}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize("moment", ["tag", "main", "moved", "link"])
def test_a_killed_publish_is_whole_or_nothing(pair, moment):
    serving = store.current_id("prod")
    killed(moment, "20")
    assert read_pair() == (1, 1), "the link is not replaced yet"
    went_through = nessie.head() != nessie.head(f"v{serving}")
    assert went_through is (moment in ("moved", "link"))
    assert read_pair("prod") == ((20, 20) if went_through else (1, 1))
    with warehouse.write("prod", who="next") as session:
        base = session.base.id
        session.discard()
    assert read_pair() == read_pair("prod") == ((20, 20) if went_through else (1, 1))
    assert (base > serving) is went_through and sessions() == []
    assert publish_pair(21).based_on == base and read_pair() == (21, 21)


def test_the_lake_is_registered_and_not_copied(sample, trino):
    with warehouse.write("prod", who="look") as session, session.connect() as con:
        loads = [load for load in ledger.loads_of(warehouse.current("raw")) if load.rows]
        for table in {f"{load.source}.{load.table_name}" for load in loads}:
            schema, name = table.split(".")
            files = con.execute(f'select file_path from "raw__{schema}"."{name}$files"').fetchall()
            wanted = {
                f"local:///{load.path.relative_to(settings().data)}"
                for load in loads
                if f"{load.source}.{load.table_name}" == table
            }
            assert {path for (path,) in files} == wanted
        (counted,) = con.execute('select sum("rows") from raw__main.loads where active').fetchone()
        assert counted == sum(load.rows for load in loads)
        session.discard()
    with TrinoConnection("cli", catalog="prod") as con:
        schemas = {name for (name,) in con.execute("show schemas").fetchall()}
        assert not [name for name in schemas if name.startswith("raw__")]
        with pytest.raises(StatementFailed, match="Access Denied"):
            con.execute("select count(*) from raw__main.loads")


def test_dev_is_built_beside_a_version_on_trino(sample):
    """Bug: the profile of dev attaches the file of prod, and there was none, so that neither `loc
    dbt` nor `loc source add` worked.
    """
    assert "ERROR=0" in loc("dbt", "--", "build", "--select", "+stg_taxi_zones")


def test_another_engine_does_not_write_over_it(sample):
    said = loc("refresh", "--force", ok=False, LOC_ENGINE="duckdb")
    assert "is kept by Trino" in said and "loc db move duckdb" in said
    assert "Traceback" not in said


def test_a_foreign_main_is_not_written_over(sample, tmp_path, monkeypatch):
    monkeypatch.setenv("LOC_DATA", str(tmp_path / "data"))
    with pytest.raises(PublishError, match="main holds tables"):
        publish_pair(30)


@pytest.mark.parametrize(
    "publishes, reads",
    [
        pytest.param(4, 40),
        pytest.param(50, 10_000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
    ],
)
def test_no_read_is_torn_while_versions_are_published(pair, publishes, reads):
    """As each door reads, which is the version's catalogue with the door's identity.

    The catalogue `prod` is for other tools. It follows `main`, where Trino looks up each table by
    itself, so that a statement may find one table before a publish and another one after it.
    """
    seen: list[tuple] = []
    by_prod: list[tuple] = []
    faults: list[str] = []
    done, over = threading.Event(), threading.Event()

    def watch(catalogue: str, identity: str, found: list[tuple]) -> None:
        while not over.is_set() and (not done.is_set() or len(seen) < reads):
            try:
                found.append(read_pair(catalogue, identity))
            except (StatementFailed, WarehouseError) as error:
                # The current version may be superseded and pruned between the look and the read.
                faults.append(str(error))

    doors = [("", identity, seen) for identity in identities.READERS] + [("prod", "cli", by_prod)]
    readers = [threading.Thread(target=watch, args=door) for door in doors]
    for reader in readers:
        reader.start()
    try:
        for number in range(100, 100 + publishes):
            publish_pair(number)
        done.set()
        for reader in readers:
            reader.join()
    finally:
        over.set()  # after a failure or an interrupt too: the interpreter waits for its threads
    assert [row for row in seen if row[0] != row[1]] == [] and len(seen) >= reads
    assert faults == [] and len(set(seen)) > publishes / 2
    published = [pair, *range(100, 100 + publishes)]
    mixed = [row for row in by_prod if row[0] != row[1]]
    apart = [row for row in mixed if abs(published.index(row[0]) - published.index(row[1])) > 1]
    print(f"{len(seen):,} reads of doors; {len(mixed)} of {len(by_prod):,} by `prod` are mixed")
    assert by_prod and apart == [], "by `prod`, more than one publish apart"


WRITER = """
import sys
from published import publish_pair
for number in range(int(sys.argv[1]), 10**9):
    version = publish_pair(number)
    print(version.id, number, flush=True)
"""


@pytest.mark.parametrize(
    "writers, servers",
    [
        pytest.param(3, 1),
        pytest.param(40, 10, marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
    ],
)
def test_no_kill_loses_or_tears_what_was_published(pair, running, writers, servers):
    """`kill -9` of a writer, of Nessie and of the coordinator: what was acknowledged is there."""
    moments = random.Random(SEED)
    number = 1000
    victims = ["writer"] * writers + ["nessie", "trino"] * servers
    moments.shuffle(victims)
    acknowledged: dict[int, int] = {}
    for victim in victims:
        number += 1000
        with subprocess.Popen(
            [PYTHON, "-c", WRITER, str(number)],
            env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests/engine'}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as writer:
            acknowledged |= _acknowledged(writer.stdout.readline())
            time.sleep(moments.uniform(0, 3))
            if victim != "writer":
                running.kill(victim)
            else:
                writer.kill()
            with suppress(subprocess.TimeoutExpired):
                writer.wait(20)  # it repeats requests for a while
            writer.kill()
            for line in writer.stdout:
                acknowledged |= _acknowledged(line)
        if victim != "writer":
            running.restart(victim)
        newest = max(acknowledged)
        version = publish_pair(number + 999)  # heals what is left
        assert version.id > newest, f"{victim}, LOC_SEED={SEED}"
        assert read_pair() == read_pair("prod") == (number + 999, number + 999)
        assert sessions() == [], f"{victim}, LOC_SEED={SEED}"
        for kept in warehouse.history("prod"):
            if kept.id in acknowledged and kept.engine == "trino":
                expected = acknowledged[kept.id]
                assert read_pair(f"v{kept.id}") == (expected, expected), f"LOC_SEED={SEED}"
    assert len(acknowledged) >= len(victims)


def _acknowledged(line: str) -> dict[int, int]:
    words = line.split()
    return {int(words[0]): int(words[1])} if len(words) == 2 else {}


def test_the_manifest_knows_the_columns_without_a_server(sample):
    version = warehouse.current("prod")
    written = json.loads((version.folder / "manifest.json").read_text())
    assert written["engine"] == "trino"
    assert version.columns()["marts.mart_taxi_trips"]["pickup_at"] == "timestamp(6)"
    assert "raw__" not in str(version.tables) and "staging.stg_taxi_trips" not in version.tables


def test_only_the_writer_may_make_catalogues(sample):
    for identity in identities.READERS:
        with (
            TrinoConnection(identity) as con,
            pytest.raises(StatementFailed, match="Access Denied"),
        ):
            con.execute("create catalog mine using tpch")
