"""Starts one service from the packages of the store, and asks it something that it must compute.

``nix flake check`` runs it in an empty folder with the Python of the platform's package::

    python -I smoke.py SERVICE ENVIRONMENTS [SERVER]

ENVIRONMENTS has the shape of ``.venvs``, and SERVER is the folder of Cube's server.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import httpx
import jwt

HOST = "127.0.0.1"
PATIENCE = 180.0
"""Seconds in which a service must answer."""
SECRET = "of this check alone, and long enough to sign with"
ANSWER = 42


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return listener.getsockname()[1]


def run(*command: str | Path, **variables: str) -> str:
    """Run a program, and return its output."""
    done = subprocess.run(
        command, env=os.environ | variables, capture_output=True, text=True, timeout=PATIENCE
    )
    if done.returncode:
        sys.exit(f"{Path(command[0]).name} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


@contextmanager
def service(
    port: int, probe: str, *command: str | Path, **variables: str
) -> Iterator[httpx.Client]:
    """Start a service; yield a client of it once its probe answers.

    Raises:
        SystemExit: the service ended, or did not answer in time; with its log.
    """
    log = Path("service.log")
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command,
            env=os.environ | variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        ) as process,
        httpx.Client(base_url=f"http://{HOST}:{port}", timeout=60, trust_env=False) as client,
    ):
        try:
            end = time.monotonic() + PATIENCE
            while not _answers(client, probe):
                if process.poll() is not None or time.monotonic() > end:
                    sys.exit(f"{Path(command[0]).name} does not answer:\n{log.read_text()}")
                time.sleep(0.2)
            yield client
        finally:
            process.terminate()


def _answers(client: httpx.Client, probe: str) -> bool:
    try:
        return client.get(probe).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def expect(answer: object, correct: object) -> None:
    if answer != correct:
        sys.exit(f"The answer is {answer!r}, and should be {correct!r}.")


def dagster(environments: Path) -> None:
    """The web server lists an asset of a definitions file."""
    Path("definitions.py").write_text(
        "import dagster\n\n@dagster.asset\ndef answer():\n    return 42\n"
        "\ndefs = dagster.Definitions(assets=[answer])\n"
    )
    Path("home").mkdir()
    port = free_port()
    command = (environments / "platform/bin/dagster-webserver", "-f", "definitions.py")
    with service(
        port,
        "/server_info",
        *command,
        "-h",
        HOST,
        "-p",
        str(port),
        DAGSTER_HOME=str(Path("home").resolve()),
    ) as client:
        query = "{ assetNodes { assetKey { path } } }"
        reply = client.post("/graphql", json={"query": query}).json()
    expect(reply["data"]["assetNodes"], [{"assetKey": {"path": ["answer"]}}])


def dbt(environments: Path) -> None:
    """A model is built and tested in a DuckDB file."""
    Path("models").mkdir()
    Path("models/answer.sql").write_text(f"select {ANSWER} as answer")
    Path("models/answer.yml").write_text(
        "models: [{name: answer, columns: [{name: answer, data_tests: [not_null]}]}]"
    )
    Path("dbt_project.yml").write_text("{name: smoke, version: 1.0.0, profile: smoke}")
    Path("profiles.yml").write_text(
        "smoke: {target: it, outputs: {it: {type: duckdb, path: smoke.duckdb}}}"
    )
    run(environments / "platform/bin/dbt", "build", DBT_SEND_ANONYMOUS_USAGE_STATS="false")
    with duckdb.connect("smoke.duckdb", read_only=True) as connection:
        expect(connection.sql("select answer from answer").fetchall(), [(ANSWER,)])


def superset(environments: Path) -> None:
    """The web server shows the page of its log-in, which reads its database."""
    programs = environments / "superset/bin"
    Path("superset_config.py").write_text(
        f"SECRET_KEY = {SECRET!r}\nSQLALCHEMY_DATABASE_URI = 'sqlite:///{Path.cwd()}/superset.db'\n"
    )
    variables = {"SUPERSET_CONFIG_PATH": str(Path("superset_config.py").resolve())}
    variables["SUPERSET_HOME"] = str(Path.cwd())
    run(programs / "superset", "db", "upgrade", **variables)
    port = free_port()
    command = (programs / "gunicorn", "--bind", f"{HOST}:{port}", "superset.app:create_app()")
    with service(port, "/health", *command, **variables) as client:
        expect(
            "Superset" in client.get("/login/", follow_redirects=True).raise_for_status().text, True
        )


def cube(environments: Path, server: Path) -> None:
    """The server computes a measure of a model over a published version."""
    version = Path("warehouse/prod/versions/1")
    version.mkdir(parents=True)
    with duckdb.connect(version / "prod.duckdb") as connection:
        connection.sql("create schema marts")
        connection.sql(
            f"create table marts.answers as select {ANSWER // 2} as answer from range(2)"
        )
    manifest = {
        "id": 1,
        "published_at": "2026-01-01T00:00:00+00:00",
        "tables": {"marts.answers": 2},
    }
    (version / "manifest.json").write_text(json.dumps(manifest))
    Path("warehouse/prod/current").symlink_to("versions/1")
    Path("model").mkdir()
    Path("model/answers.yml").write_text(
        "cubes: [{name: answers, sql_table: marts.answers,"
        " measures: [{name: total, sql: answer, type: sum}]}]"
    )
    Path("secret").write_text(SECRET)
    port = free_port()
    variables = {
        "CUBE_WAREHOUSE": str(Path("warehouse").resolve()),
        "CUBE_MODEL": str(Path("model").resolve()),
        "LOC_SECRET_FILE": str(Path("secret").resolve()),
        "CUBE_PORT": str(port),
        "CUBE_MEMORY": "512MB",
        "CUBE_THREADS": "1",
        "CUBE_TIMEOUT": "60",
        "CUBE_ROWS": "1000",
        "CUBE_GRACE": "1",
        "CUBE_NATIVE": "off",
        "NODE_ENV": "production",
        "CUBEJS_TELEMETRY": "false",
        "CUBEJS_DB_TYPE": "duckdb",
        "CUBEJS_EXTERNAL_DEFAULT": "false",
        "CUBEJS_CACHE_AND_QUEUE_DRIVER": "memory",
        "CUBEJS_TESSERACT_SQL_PLANNER": "false",
    }
    with service(port, "/readyz", "node", server / "server.js", **variables) as client:
        token = jwt.encode({"exp": time.time() + 600}, SECRET, algorithm="HS256")
        reply = client.post(
            "/cubejs-api/v1/load",
            json={"query": {"measures": ["answers.total"]}},
            headers={"Authorization": f"Bearer {token}"},
        ).json()
    expect([float(row["answers.total"]) for row in reply.get("data", [reply])], [float(ANSWER)])


def jupyter(environments: Path) -> None:
    """The server lists its kernel, and the kernel computes."""
    programs = environments / "notebooks/bin"
    port = free_port()
    folders = {
        f"JUPYTER_{name}_DIR": str(Path(name.lower()).resolve())
        for name in ("CONFIG", "DATA", "RUNTIME")
    }
    folders["IPYTHONDIR"] = str(Path("ipython").resolve())
    command = (programs / "jupyter-lab", "--no-browser", "--allow-root", f"--port={port}")
    with service(
        port, "/api", *command, f"--IdentityProvider.token={SECRET}", f"--ip={HOST}", **folders
    ) as client:
        reply = client.get("/api/kernelspecs", headers={"Authorization": f"token {SECRET}"})
        expect(reply.raise_for_status().json()["default"], "python3")
    code = (
        "import nbformat.v4 as v4; from nbclient import NotebookClient\n"
        f"notebook = v4.new_notebook(cells=[v4.new_code_cell('{ANSWER // 2} * 2')])\n"
        "NotebookClient(notebook, timeout=120).execute()\n"
        "print(notebook.cells[0].outputs[0]['data']['text/plain'])"
    )
    expect(run(programs / "python", "-c", code, **folders).strip(), str(ANSWER))


def main() -> None:
    name, *folders = sys.argv[1:]
    checks = {check.__name__: check for check in (dagster, dbt, superset, cube, jupyter)}
    checks[name](*map(Path, folders))
    print(f"{name} answers")


if __name__ == "__main__":
    main()
