"""Start Cube: Node with the server and its settings, as ``python -m proto_loc.cube.process``."""

import os
import subprocess
from pathlib import Path

from proto_loc.errors import LocError, exit_on_error
from proto_loc.settings import origin, settings
from proto_loc.setup.node import CUBE, MODEL, STAMP, program


def environment() -> dict[str, str]:
    """The environment of the server: its settings, and those that Cube reads when it is loaded.

    The server's own are listed in ``proto_loc/cube/server/lib/settings.js``.

    ``CUBEJS_*`` of the person's own environment are dropped: each of them changes what Cube does.
    """
    current = settings()
    port = int(os.environ.get("CUBE_PORT") or current.port("cube"))
    own = origin(port)
    env = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("CUBE_", "CUBEJS_", "NODE_"))
    }
    if current.cube_dev:
        env["CUBEJS_DEV_MODE"] = "true"
    return env | {
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
        "NODE_COMPILE_CACHE": str(current.run / "node-cache"),  # a second start compiles nothing
        "UV_THREADPOOL_SIZE": "16",  # each running query holds one
        "CUBEJS_TELEMETRY": "false",
        "CUBEJS_DB_TYPE": "duckdb",
        "CUBEJS_EXTERNAL_DEFAULT": "false",  # no Cube Store
        "CUBEJS_CACHE_AND_QUEUE_DRIVER": "memory",
        "CUBEJS_TESSERACT_SQL_PLANNER": "false",  # part of the addon
        "CUBEJS_TRANSPILATION_WORKER_THREADS_COUNT": "1",
        "CUBEJS_DB_QUERY_LIMIT": str(current.cube_rows),
        "CUBEJS_DB_QUERY_DEFAULT_LIMIT": str(min(10_000, current.cube_rows)),
        "CUBEJS_MAX_REQUEST_SIZE": "1mb",
    }


def faults(model: Path) -> list[str] | None:
    """The errors that Cube's compiler reports for a model's folder, with file and line.

    None where Cube is not set up.

    Raises:
        LocError: the compiler does not run.
    """
    if not STAMP.exists():
        return None
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CUBE_", "CUBEJS_", "NODE_"))
    }
    done = subprocess.run(
        [program(), CUBE / "check.js", model],
        cwd=CUBE,
        env=env | {"CUBE_NATIVE": settings().cube_native},
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


if __name__ == "__main__":
    with exit_on_error():
        node, env = program(), environment()
    os.chdir(CUBE)
    os.execve(
        node, [str(node), "--max-old-space-size=1024", "--max-semi-space-size=2", "server.js"], env
    )  # MB
