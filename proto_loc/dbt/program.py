"""Commands, folders, files and environment variables of the program dbt."""

import hashlib
import os
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from proto_loc import logs, run_id, warehouse
from proto_loc.dbt.verdicts import names_in
from proto_loc.settings import ROOT, settings
from proto_loc.warehouse import engine

PROJECT = ROOT / "dbt"
MACROS = ROOT / "proto_loc" / "dbt" / "macros"
MODELS = ROOT / "proto_loc" / "dbt" / "models"
DBT = Path(sys.executable).parent / "dbt"

# The garbage collection is off, because it would take a tenth of the time of a build. A log that
# cannot be written, as on a full disk, is no reason for a traceback beside our own message. Trino's
# client says that it has no keyring, which nothing here needs.
BUILDER = [
    sys.executable,
    "-c",
    "import gc, logging; gc.disable(); logging.raiseExceptions = False; "
    "logging.getLogger('trino.auth').setLevel(logging.WARNING); "
    "from dbt.cli.main import cli; cli(prog_name='dbt')",
]


def project_files() -> Iterator[tuple[str, Path]]:
    """Yield each file of the dbt project and of the platform's part, with its name.

    The name is relative to the project. It follows links, because a package is often a link to a
    folder elsewhere.
    """
    seen: set[str] = set()
    for folder, folders, names in chain(
        os.walk(PROJECT, followlinks=True), os.walk(MACROS), os.walk(MODELS)
    ):
        real = os.path.realpath(folder)
        if real in seen:  # a link back to a parent
            folders.clear()
            continue
        seen.add(real)
        made = {"target", "logs", ".user.yml", ".git"} if "dbt_project.yml" in names else set()
        folders[:] = sorted(set(folders) - made)
        for name in sorted(set(names) - made):
            path = Path(folder, name)
            if path.is_file() and path.suffix != ".duckdb":
                yield os.path.relpath(path, PROJECT), path


def verdict_models() -> list[str]:
    """Names of the models that give verdicts on rows of loads, sorted."""
    return sorted(names_in(path for _, path in project_files()))


def target_path(target: str) -> Path:
    """Return dbt's target folder, one per data folder and target.

    The lock is per data folder too, and a parse for one target would invalidate the partial parse
    of another target.
    """
    data = hashlib.sha256(os.fspath(settings().data).encode()).hexdigest()[:8]
    return settings().run / "dbt" / f"{target}-{data}"


def environment(
    target: str,
    *,
    session: warehouse.Session | None = None,
    deferred: bool = True,
    **extra: str,
) -> dict[str, str]:
    """Environment variables of dbt.

    Args:
        session: where ``prod`` is written; without one, the project can only be parsed. In a
            session, ``state:modified`` compares with the current version's project.
        deferred: on ``dev``, read relations that are not built there from ``prod``. False for a
            retry, which looks in dbt's state folder for the run to continue.
    """
    inherited = {name: value for name, value in os.environ.items() if name != "LOC_SESSION"}
    own = {
        "LOC_DATA": str(settings().data),
        "DBT_PROJECT_DIR": str(PROJECT),
        "DBT_TARGET_PATH": str(target_path(target)),
        "DBT_LOG_PATH": str(settings().run / "dbt" / "logs"),
        # dbt's default, debug, costs over half a second per run; `loc dbt -- --log-level-file debug
        # ...` turns it on.
        "DBT_LOG_LEVEL_FILE": "info",
        "DBT_LOG_FORMAT_FILE": "json" if logs.wants_json() else "debug",
        "LOC_VERDICTS": ",".join(verdict_models()),
        "DBT_ENV_CUSTOM_ENV_LOC_RUN_ID": run_id.current(),  # dbt writes it into its artifacts
    }
    if target == "prod":
        # A variable can set any option of dbt, but a person's variables must not change what is
        # published.
        kept = {
            name: value
            for name, value in inherited.items()
            if not name.startswith("DBT_") or "DBT_ENV_" in name
        }
        fixed = {"DBT_PROFILES_DIR": str(PROJECT), "LOC_SESSION": "1"}
        if session and session.base and (session.base.folder / "dbt").exists():
            fixed["DBT_STATE"] = str(session.base.folder / "dbt")
        keeper = session.engine if session else engine.of("prod")
        return kept | own | fixed | keeper.dbt() | extra
    version = warehouse.current("prod")
    published = version.folder / "dbt"
    defer = (
        {"DBT_DEFER": "true", "DBT_STATE": str(published)}
        if deferred and version.is_a_file and published.exists()
        else {}
    )
    return defer | inherited | own | {"DBT_PROFILES_DIR": str(PROJECT)} | extra
