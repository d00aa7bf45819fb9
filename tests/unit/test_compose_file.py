"""Tests of process-compose.yaml against the services, and of keys that are refused."""

import re
import subprocess
import tomllib

import pytest
import yaml
from dotenv import dotenv_values

from proto_loc import credentials, services
from proto_loc.compose import supervisor
from proto_loc.errors import UsageError
from proto_loc.services.launch import GRACE, LAST_GRACE
from proto_loc.settings import PORTS, ROOT, port_setting, settings
from proto_loc.standins.process_compose import model

FILE = ROOT / "process-compose.yaml"


@pytest.fixture
def project(monkeypatch):
    monkeypatch.delenv("LOC_RUN", raising=False)
    monkeypatch.setenv("LOC_PORT_PREFIX", "4")
    return model.load(FILE)


def test_every_process_is_a_service_and_every_service_a_process(project):
    assert set(project.processes) == set(services.SERVICES)
    for name, process in project.processes.items():
        assert process.command.endswith(f"exec ./loc exec {name}"), name
        assert process.description, name
        assert process.log_location == f".run/logs/{name}.log"


def test_a_probe_asks_where_the_service_listens(project):
    for name, service in services.SERVICES.items():
        probe = project.processes[name].readiness_probe
        if service.port:
            assert probe.http_get.port == settings().port(service.port) >= 40_000
        if service.socket:
            assert probe.exec.command == f'test -S "${{LOC_RUN:-.run}}/{service.socket}"'


def test_a_probe_asks_at_a_fork_s_own_port(monkeypatch):
    """Every port has its setting, and the prefix goes before what it says."""
    monkeypatch.setenv("LOC_PORT_PREFIX", "2")
    for number, service in enumerate(PORTS):
        monkeypatch.setenv(port_setting(service), f"{7100 + number}")
    project = model.load(FILE)
    for name, service in services.SERVICES.items():
        if service.port:
            port = project.processes[name].readiness_probe.http_get.port
            assert port == settings().port(service.port) >= 27_100
            passed = f"{port_setting(service.port)}=${{{port_setting(service.port)}:-}}"
            assert f'"{passed}"' in FILE.read_text(), "the service listens where its probe asks"


@pytest.mark.parametrize(
    "folder", ["it's", 'a "b"', "back\\slash", "#1: 100% - {é}", "&x *y", "a  b", "$HOME"]
)
def test_the_run_folder_may_have_any_name(tmp_path, folder):
    """Bug: if the clone's folder had an apostrophe in its name, the project's file was
    "no YAML".
    """
    run = tmp_path / folder
    run.mkdir()
    project = model.load(FILE, {"LOC_RUN": str(run)})
    assert project.processes["cube"].log_location == f"{run}/logs/cube.log"
    (run / "dagster-daemon.ready").touch()
    probe = project.processes["dagster-daemon"].readiness_probe.exec.command
    assert subprocess.run(["bash", "-c", probe], env={"LOC_RUN": str(run)}).returncode == 0


def test_loc_exec_has_time_to_kill_before_its_supervisor_does(project):
    for name, process in project.processes.items():
        assert process.shutdown.timeout_seconds > GRACE + LAST_GRACE + 5, name


def test_every_port_has_its_service():
    assert {service.port for service in services.SERVICES.values() if service.port} <= set(PORTS)


def test_process_compose_by_hand_gets_what_loc_up_gives_it(monkeypatch):
    monkeypatch.setenv("LOC_RUN", str(ROOT / ".run"))
    by_hand = dotenv_values(ROOT / ".pc_env")
    by_hand = {name: path for name, path in by_hand.items() if name.startswith(("PC_", "PROC_"))}
    assert len(by_hand) == 4
    given = supervisor.environment()
    assert {name: str(ROOT / path) for name, path in by_hand.items()} == {
        name: given[name] for name in by_hand
    }


def test_structured_records_have_no_time_in_front(monkeypatch):
    """`loc up` sets it for whichever supervisor it starts; both leave it out."""
    for choice, first in (("json", "caller"), ("text", "time")):
        monkeypatch.setenv("LOC_LOG_FORMAT", choice)
        project = model.load(ROOT / "process-compose.yaml", supervisor.environment())
        orders = {process.log_configuration.fields_order for process in project.processes.values()}
        assert orders == {(first, "message")}


def test_the_runner_and_process_compose_are_of_one_version():
    """The runner behaves like the release that golden.toml pins.

    If you change the version, read what is new in that release.
    """
    pinned = tomllib.loads((ROOT / "golden.toml").read_text())["tools"]["process-compose"][
        "version"
    ]
    assert (
        f"process-compose {'.'.join(pinned.split('.')[:2])}"
        in (ROOT / "proto_loc/standins/process_compose/runner.py").read_text()
    )


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("is_tui_enabled",), True, "is_tui_enabled. proto_loc.compose does not know this key"),
        (
            ("processes", "setup", "replicas"),
            2,
            "processes.setup.replicas. proto_loc.compose does not know this key",
        ),
        (
            ("processes", "setup", "availability", "restart"),
            "sometimes",
            "setup.availability.restart",
        ),
        (
            ("processes", "dagster-web", "readiness_probe", "http_get", "port"),
            "http",
            "readiness_probe.http_get.port",
        ),
        (
            ("processes", "dagster-web", "readiness_probe", "exec"),
            {"command": "true"},
            "either http_get or exec",
        ),
        (
            ("processes", "setup", "depends_on"),
            {"nosuch": {"condition": "process_started"}},
            "depends on nosuch",
        ),
        (
            ("processes", "setup", "depends_on"),
            {"first-load": {"condition": "process_started"}},
            "wait for each other",
        ),
        (
            ("processes", "first-load", "depends_on"),
            {"setup": {"condition": "process_healthy"}},
            "no readiness_probe",
        ),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else None,
)
def test_what_cannot_be_run_is_refused_by_name(tmp_path, place, value, said):
    text = re.sub(r"\$\{LOC_PORT_PREFIX:-\}\$\{\w+:-(\d+)\}", r"\1", FILE.read_text())
    text = text.replace("${LOC_ENGINE:-duckdb}", "duckdb")
    changed = yaml.safe_load(text)
    node = changed
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    file = tmp_path / "changed.yaml"
    file.write_text(yaml.safe_dump(changed))
    with pytest.raises(UsageError) as refused:
        model.load(file)
    assert said in str(refused.value) and str(file) in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [("processes: [", "is not valid YAML"), ("a: ${X:+y}", "${X:+y}"), (None, "be read")],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, text, said):
    file = tmp_path / "process-compose.yaml"
    if text:
        file.write_text(text)
    with pytest.raises(UsageError, match=re.escape(said)):
        model.load(file)


def test_variables_are_put_in_as_process_compose_does(tmp_path):
    file = tmp_path / "process-compose.yaml"
    text = FILE.read_text()
    command = "echo ${SET} ${SET:-other} ${UNSET}+ ${EMPTY:-default} $$HOME $HOME"
    file.write_text(text.replace("./loc --sync platform && exec ./loc exec setup", command))
    found = model.load(file, {"SET": "a", "EMPTY": ""}).processes["setup"].command
    assert found == "echo a a + default $HOME $HOME"


def test_a_service_gets_its_own_secret_alone_and_nothing_that_changes_what_it_runs(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("LOC_RUN", str(tmp_path / "run"))
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PC_API_TOKEN_PATH", "LOC_SECRET_FILE"):
        monkeypatch.setenv(name, "from outside")
    monkeypatch.setenv("LOC_LIBRARY_PATH", "/libraries")
    command, web = services.start("dagster-web")
    assert "from outside" not in web.values()
    assert web["LOC_SECRET_FILE"] == str(credentials.path("dagster"))
    assert web["PATH"].startswith(str(ROOT / ".venvs/platform/bin"))
    assert web["LD_LIBRARY_PATH"] == "/libraries"
    assert not [text for text in (*command, *web.values()) if credentials.secret("dagster") in text]
    assert "LOC_SECRET_FILE" not in services.start("dagster-daemon")[1]


def test_links_work_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setenv("LOC_RUN", str(tmp_path / "run"))
    monkeypatch.setenv("LOC_PORT_PREFIX", "2")
    token, jupyter = credentials.secret("dagster"), credentials.secret("jupyter")
    assert next(iter(services.urls(("superset", "home")))) == "Home", "it is the first to open"
    assert services.urls() == {
        "Home": f"http://127.0.0.1:28000/?token={credentials.secret('home')}",
        "Dagster": f"http://127.0.0.1:23000/?token={token}",
        "dbt docs": f"http://127.0.0.1:23000/dbt-docs/?token={token}",
        "Superset": "http://127.0.0.1:28088/",
        "JupyterLab": f"http://127.0.0.1:28888/lab/tree/start_here.ipynb?token={jupyter}",
    }
    password = credentials.secret("superset-admin")
    assert (
        services.lines()[-1]
        == f"Superset   http://127.0.0.1:28088/  (log in as admin, password {password})"
    )


def test_what_provisions_superset_gets_two_secrets_and_superset_one(tmp_path, monkeypatch):
    monkeypatch.setenv("LOC_RUN", str(tmp_path / "run"))
    monkeypatch.setenv("LOC_SECRET_FILE_ADMIN", "from outside")
    _, provision = services.start("superset-provision")
    _, web = services.start("superset")
    assert (
        provision["LOC_SECRET_FILE"] == web["LOC_SECRET_FILE"] == str(credentials.path("superset"))
    )
    assert provision["LOC_SECRET_FILE_ADMIN"] == str(credentials.path("superset-admin"))
    assert "LOC_SECRET_FILE_ADMIN" not in web
