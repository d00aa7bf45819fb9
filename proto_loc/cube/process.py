"""Starts Cube's server in Node, and checks a model with Cube's compiler."""

import os
import subprocess
from pathlib import Path

from proto_loc.errors import LocError, exit_on_error
from proto_loc.settings import origin, settings
from proto_loc.setup import node
from proto_loc.setup.node import CUBE, MODEL, STAMP, program


def _of_trino() -> dict[str, str]:
    from proto_loc import credentials
    from proto_loc.trino import identities, places

    identities.password("cube")  # makes it, if Trino has never run
    return {
        "CUBE_TRINO_PORT": str(settings().port("trino")),
        "CUBE_TRINO_CERTIFICATE": str(places.certificate()),
        "CUBE_TRINO_SECRET": str(credentials.path("trino-cube")),
        # Our driver has its own; without them, Cube warns of older names that nobody uses.
        "CUBEJS_DB_PRESTO_CATALOG": "prod",
        "CUBEJS_DB_NAME": "marts",
    }


OF_ENGINE = {"trino": _of_trino}
"""Further variables of the server with an engine."""


def environment() -> dict[str, str]:
    """Make the environment of the server: ``CUBE_*`` are our settings, ``CUBEJS_*`` are Cube's.

    ``proto_loc/cube/server/lib/settings.js`` describes ours.
    """
    current = settings()
    port = int(os.environ.get("CUBE_PORT") or current.port("cube"))
    own = origin(port)
    env = _clean_environment() | node.variables() | OF_ENGINE.get(current.engine, dict)()
    if current.cube_dev:
        env["CUBEJS_DEV_MODE"] = "true"
    return env | {
        "CUBE_ENGINE": current.engine,
        "CUBE_WAREHOUSE": str(current.warehouse),
        "CUBE_MODEL": os.environ.get("LOC_CUBE_MODEL") or str(MODEL),
        "CUBE_PORT": str(port),
        "CUBE_MEMORY": current.query_memory,
        "CUBE_THREADS": str(current.query_threads),
        "CUBE_TIMEOUT": f"{current.cube_timeout:g}",
        "CUBE_ROWS": str(current.cube_rows),
        "CUBE_GRACE": f"{current.cube_grace:g}",
        "CUBE_NATIVE": current.cube_native,
        "CUBE_DEV": str(int(current.cube_dev)),
        "CUBE_FORWARDED": own if own.startswith("https:") else "",
        "NODE_ENV": "production",
        "NODE_COMPILE_CACHE": str(current.run / "node-cache"),  # makes the next start faster
        "UV_THREADPOOL_SIZE": "16",  # each running query uses one thread
        "CUBEJS_TELEMETRY": "false",
        "CUBEJS_DB_TYPE": current.engine,  # Cube uses the same names
        "CUBEJS_EXTERNAL_DEFAULT": "false",  # no Cube Store
        "CUBEJS_CACHE_AND_QUEUE_DRIVER": "memory",
        "CUBEJS_TESSERACT_SQL_PLANNER": "false",  # part of the addon
        "CUBEJS_TRANSPILATION_WORKER_THREADS_COUNT": "1",
        "CUBEJS_DB_QUERY_LIMIT": str(current.cube_rows),
        "CUBEJS_DB_QUERY_DEFAULT_LIMIT": str(min(10_000, current.cube_rows)),
        "CUBEJS_MAX_REQUEST_SIZE": "1mb",
    }


def faults(model: Path) -> list[str] | None:
    """Compile the model of a folder; return the errors with file and line.

    None if Cube is not installed.

    Raises:
        LocError: the compiler does not run.
    """
    if not STAMP.exists():
        return None
    done = subprocess.run(
        [program(), *node.arguments(), CUBE / "check.js", model],
        cwd=CUBE,
        env=_clean_environment() | node.variables() | {"CUBE_NATIVE": settings().cube_native},
        capture_output=True,
        text=True,
    )
    if done.returncode and not done.stdout:
        why = next(
            (line for line in done.stderr.splitlines() if "Error:" in line),
            done.stderr.strip()[-500:],
        )
        raise LocError(
            "Cube's compiler does not run.", f"{why}", "Set it up anew: ./loc setup cube"
        )
    return [line if len(line) < 400 else f"{line[:400]} ..." for line in done.stdout.splitlines()]


def _clean_environment() -> dict[str, str]:
    """This process's environment without variables that change what Cube or Node does."""
    prefixes = ("CUBE_", "CUBEJS_", "NODE_")
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}


if __name__ == "__main__":
    with exit_on_error():
        command, env = [program(), *node.arguments()], environment()
    os.chdir(CUBE)
    limits = ["--max-old-space-size=1024", "--max-semi-space-size=2"]  # MB
    os.execve(command[0], [*map(str, command), *limits, "server.js"], env)
