"""Nobody gets into Trino without a password, and a reader can only read what is published.

Two nodes and Nessie take a minute to start.
"""

import http.client
import json
import re
import socket
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import closing

import psutil
import pytest

from proto_loc import services
from proto_loc.services import launch
from proto_loc.settings import settings
from proto_loc.trino import client, configuration, identities, places, readiness
from proto_loc.warehouse import store
from proto_loc.warehouse.iceberg import catalogues, nessie

pytestmark = pytest.mark.slow  # three servers of Java: see conftest

NAMES = ("nessie", *places.NODES)
DENIED = "PERMISSION_DENIED"


@pytest.fixture(scope="module")
def published(sample) -> Iterator[None]:
    """A table on Nessie's main branch, a session's branch, and their catalogues; all of it goes
    again.
    """
    head = _nessie("GET", "trees/main")["reference"]
    _nessie("POST", "trees?name=s_1&type=BRANCH", head)
    names = {"s_1": "s_1", "raw": "s_1", "v7000": "main"}
    with closing(client.connect(identities.WRITER)) as connection:
        cursor = connection.cursor()
        for name, ref in names.items():
            values = configuration.catalogue(ref)
            pairs = ", ".join(f"\"{key}\" = '{value}'" for key, value in values.items())
            cursor.execute(f'create catalog "{name}" using iceberg with ({pairs})').fetchall()
        cursor.execute("create table s_1.marts.t as select 1 as n, 'a' as s").fetchall()
        branch = _nessie("GET", "trees/s_1")["reference"]
        _nessie("PUT", f"trees/main@{head['hash']}?type=BRANCH", branch)
        yield
        for name in names:
            cursor.execute(f'drop catalog "{name}"').fetchall()
    _nessie("PUT", f"trees/main@{branch['hash']}?type=BRANCH", head)
    nessie.remove("s_1")


def _nessie(method: str, path: str, content: dict | None = None) -> dict:
    body = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(
        f"{places.nessie_url()}/{path}", body, {"Content-Type": "application/json"}, method=method
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as answer:
        return json.load(answer)


def _ask(port: int, path: str, *, method: str = "GET", **headers: str) -> tuple[int, str]:
    """The status and body of an answer by HTTPS; the certificate is verified."""
    context = ssl.create_default_context(cafile=str(places.certificate()))
    connection = http.client.HTTPSConnection(places.HOST, port, timeout=30, context=context)
    with closing(connection):
        connection.request(
            method, path, body="select 1" if method == "POST" else None, headers=headers
        )
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def _basic(identity: str, password: str) -> dict[str, str]:
    from base64 import b64encode

    return {"Authorization": f"Basic {b64encode(f'{identity}:{password}'.encode()).decode()}"}


def _refusal(trino, statement: str, identity: str, **options) -> str:
    """The name of the error with which Trino refuses a statement; empty if it runs it."""
    from trino.exceptions import TrinoQueryError

    try:
        trino(statement, identity, **options)
    except TrinoQueryError as error:
        return error.error_name
    return ""


@pytest.mark.parametrize("node", places.NODES)
@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/v1/statement", "POST"),
        ("/v1/query", "GET"),
        ("/v1/node", "GET"),
        ("/v1/thread", "GET"),
        ("/v1/task", "GET"),
        ("/v1/memory", "GET"),
        ("/v1/info/state", "PUT"),
        ("/ui/api/stats", "GET"),
    ],
)
def test_no_password_gets_no_answer(running, node, path, method):
    """A user name that is merely believed would be somebody's: the header alone is no login."""
    for headers in (
        {},
        {"X-Trino-User": identities.WRITER},
        {"X-Trino-Internal-Bearer": "x"},
        _basic(identities.WRITER, "wrong"),
        _basic(identities.WRITER, ""),
        _basic("nobody", identities.password(identities.WRITER)),
        _basic("cli", identities.password(identities.WRITER)),
    ):
        status, body = _ask(settings().port(node), path, method=method, **headers)
        missing = node == "trino-worker" and status == 404  # it has no such page
        assert status in (401, 403) or missing, (headers, status, body)
        assert "columns" not in body and "nodeVersion" not in body


@pytest.mark.parametrize("node", places.NODES)
def test_what_anybody_may_ask_has_no_data(running, node):
    """Trino tells everybody its version, memory and uptime, and that cannot be turned off."""
    port = settings().port(node)
    info, status = (json.loads(_ask(port, path)[1]) for path in ("/v1/info", "/v1/status"))
    assert set(info) == {"nodeVersion", "environment", "coordinator", "starting", "uptime"} | (
        {"coordinatorId"} & set(info)
    )
    assert {type(value) for key, value in status.items() if key != "nodeVersion"} <= {
        *(str, int, float, bool, dict),
    }


def test_the_web_pages_ask_for_a_password(running):
    for path in ("/", "/ui/", "/ui/api/query", "/ui/api/cluster"):
        status, body = _ask(settings().port("trino"), path)
        assert status in (302, 303, 307, 401) and "query" not in body.lower(), (path, status)


@pytest.mark.parametrize("node", places.NODES)
def test_no_node_answers_plain_http(running, node):
    connection = http.client.HTTPConnection(places.HOST, settings().port(node), timeout=30)
    with closing(connection), pytest.raises((http.client.HTTPException, OSError)):
        connection.request("GET", "/v1/info")
        connection.getresponse()


def test_everything_listens_on_this_machine_alone(running):
    """Every port of every process of the servers, also those that a person has not asked for."""
    addresses = set()
    for name in NAMES:
        pids = launch.left(services.mark(name))
        assert pids, name
        for pid in pids:
            for one in psutil.Process(pid).net_connections("inet"):
                if one.status == psutil.CONN_LISTEN:
                    assert one.laddr.ip.removeprefix("::ffff:") == places.HOST, (name, one)
                    addresses.add(one.laddr.port)
    assert addresses == {settings().port(name) for name in NAMES}


def test_the_certificate_is_verified(running):
    """A client that trusts other authorities, or asks by another name, gets no connection."""
    port = settings().port("trino")
    others, own = ssl.create_default_context(), ssl.create_default_context()
    own.load_verify_locations(places.certificate())
    for context, name in ((others, places.HOST), (own, "trino.example")):
        with (
            socket.create_connection((places.HOST, port), timeout=30) as plain,
            pytest.raises(ssl.SSLCertVerificationError),
        ):
            context.wrap_socket(plain, server_hostname=name)


def test_a_bundle_of_the_environment_does_not_replace_the_certificate(trino, monkeypatch):
    """Bug: where REQUESTS_CA_BUNDLE was set, as in a company, no client could connect."""
    import certifi

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    assert trino("select 1") == [[1]]


@pytest.mark.parametrize("identity", identities.READERS)
def test_a_reader_reads_what_is_published(trino, published, identity):
    assert trino("select n, s from v7000.marts.t", identity) == [[1, "a"]]
    assert trino("select n from t", identity, catalog="prod", schema="marts") == [[1]]
    seen = {name for (name,) in trino("show catalogs", identity)}
    assert {"prod", "v7000", catalogues.of_version(store.current_id("prod"))} <= seen
    assert [name for name in seen if not re.fullmatch(r"prod|v\d+", name)] == []
    columns = "select column_name from v7000.information_schema.columns where table_name = 't'"
    assert trino(columns, identity) == [["n"], ["s"]]
    assert trino("describe v7000.marts.t", identity)
    assert trino("select current_user", identity) == [[identity]]


HOSTILE = [
    "select * from v7000.system.iceberg_tables",
    "insert into v7000.marts.t values (2, 'b')",
    "update v7000.marts.t set n = 3",
    "delete from v7000.marts.t",
    "merge into v7000.marts.t t using (values 1) s(n) on t.n = s.n when matched then delete",
    "truncate table v7000.marts.t",
    "create table v7000.marts.u as select 1 as n",
    "create schema v7000.own",
    "drop table v7000.marts.t",
    "drop schema v7000.marts cascade",
    "alter table v7000.marts.t rename to v7000.marts.u",
    "alter table v7000.marts.t add column x bigint",
    "alter table v7000.marts.t set properties format_version = 2",
    "alter table v7000.marts.t execute optimize",
    "alter table v7000.marts.t execute expire_snapshots(retention_threshold => '0s')",
    "alter table v7000.marts.t execute remove_orphan_files(retention_threshold => '0s')",
    "alter table v7000.marts.t execute drop_extended_stats",
    "alter table v7000.marts.t execute add_files(location => 'local:///', format => 'PARQUET')",
    "comment on table v7000.marts.t is 'x'",
    "analyze v7000.marts.t",
    "grant select on v7000.marts.t to user cli",
    "create catalog mine using memory",
    "drop catalog v7000",
    "drop catalog s_1",
    "call v7000.system.unregister_table('marts', 't')",
    "call v7000.system.register_table('marts', 'u', 'local:///')",
    "call v7000.system.rollback_to_snapshot('marts', 't', 1)",
    "call system.runtime.kill_query('20260101_000000_00000_aaaaa', 'x')",
    "create function v7000.marts.f(x bigint) returns bigint return x",
    "select * from table(v7000.system.table_changes('marts', 't', 1, 2))",
    "show create table v7000.marts.t",
    "select * from s_1.marts.t",
    "select * from raw.marts.t",
    "show schemas from raw",
    "show tables from s_1.marts",
    "select * from s_1.information_schema.tables",
    "select * from system.runtime.queries",
    "select * from system.runtime.nodes",
    "select * from system.runtime.tasks",
    "select * from system.metadata.catalogs",
    "select * from system.metadata.table_comments",
    "select * from system.jdbc.tables",
    "show tables from system.runtime",
    "set session v7000.compression_codec = 'ZSTD'",
    "set session join_distribution_type = 'BROADCAST'",
    "set session authorization writer",
]


@pytest.mark.parametrize("statement", HOSTILE)
def test_a_reader_can_do_nothing_else(trino, published, statement):
    """Bug: Trino's access rules let a reader run `alter table ... execute`, which deletes files."""
    assert _refusal(trino, statement, "cli") == DENIED
    assert trino("select count(*) from v7000.marts.t") == [[1]]


def test_not_even_the_writer_changes_what_is_published(trino, published):
    for name in ("v7000", "prod"):
        assert _refusal(trino, f"delete from {name}.marts.t", identities.WRITER) == DENIED
    assert not _refusal(trino, "insert into s_1.marts.t values (2, 'b')", identities.WRITER)
    assert trino("select n from v7000.marts.t") == [[1]]


def test_a_reader_neither_sees_nor_ends_the_queries_of_others(trino, running):
    """By the pages of Trino, which a password opens as well."""
    secret = "a word of the writer"
    trino(f"select '{secret}'")
    port = settings().port("trino")
    mine = _basic(identities.WRITER, identities.password(identities.WRITER))
    other = _basic("cube", identities.password("cube"))
    status, body = _ask(port, "/v1/query", **mine)
    assert status == 200 and secret in body
    query = next(one["queryId"] for one in json.loads(body) if secret in one["query"])
    status, body = _ask(port, "/v1/query", **other)
    assert (status, secret in body) == (200, False)
    for method in ("GET", "DELETE"):
        status, body = _ask(port, f"/v1/query/{query}", method=method, **other)
        assert status == 403 and secret not in body, (method, status)


def test_a_login_is_nobody_else(running):
    """The header with another user's name does not make the query that user's."""
    from trino.exceptions import TrinoQueryError

    with (
        client.connect("cli", user=identities.WRITER) as connection,
        pytest.raises(TrinoQueryError, match="cannot impersonate"),
    ):
        connection.cursor().execute("select 1").fetchall()


def test_both_nodes_take_part(trino, running):
    """The tasks of one query run on the coordinator and on the worker."""
    with client.connect(identities.WRITER) as connection:
        cursor = connection.cursor()
        rows = "select count(*) from table(sequence(1, 3000000)) group by sequential_number % 7"
        cursor.execute(rows).fetchall()
        query = cursor.stats["queryId"]
    nodes = trino(f"select distinct node_id from system.runtime.tasks where query_id = '{query}'")
    assert {node for (node,) in nodes} == set(places.NODES)


def test_all_of_them_are_ready(running):
    assert [name for name in NAMES if not readiness.is_ready(name)] == []
