"""dbt as a program: its command, its folders and its environment variables."""

import hashlib
import os
import sys
from pathlib import Path

from proto_loc import warehouse
from proto_loc.settings import ROOT, settings

PROJECT = ROOT / "dbt"


MACROS = ROOT / "proto_loc" / "dbt" / "macros"


DBT = Path(sys.executable).parent / "dbt"


# A build lives for seconds and makes few cycles: to look for them costs it a tenth of its own time.
BUILDER = [
    sys.executable,
    "-c",
    "import gc; gc.disable(); from dbt.cli.main import cli; cli(prog_name='dbt')",
]


def target_path(target: str) -> Path:
    """dbt's target folder: one a data folder, as the lock is, and one a target, so that a parse for
    one does not spoil the partial parse of the other.
    """
    data = hashlib.sha256(os.fspath(settings().data).encode()).hexdigest()[:8]
    return settings().run / "dbt" / f"{target}-{data}"


def state(session: warehouse.Session) -> dict[str, str]:
    """What ``state:modified`` compares with: the project as the current version was built from
    it.
    """
    published = session.base.folder / "dbt" if session.base else None
    return {"DBT_STATE": str(published)} if published and published.exists() else {}


def environment(target: str, *, deferred: bool = True, **extra: str) -> dict[str, str]:
    """The environment of dbt; on ``dev``, what is not built there is read from prod, by default.

    Args:
        deferred: False for a retry, which looks for the run to go on with where dbt's state is.
    """
    inherited = {name: value for name, value in os.environ.items() if name != "LOC_SESSION"}
    own = {
        "LOC_DATA": str(settings().data),
        "DBT_PROJECT_DIR": str(PROJECT),
        "DBT_PROFILES_DIR": str(PROJECT),
        "DBT_TARGET_PATH": str(target_path(target)),
        "DBT_LOG_PATH": str(settings().run / "dbt" / "logs"),
        # dbt's default, debug, costs over half a second a run; `loc dbt -- --log-level-file debug
        # ...` has it.
        "DBT_LOG_LEVEL_FILE": "info",
        **extra,
    }
    if target == "prod":
        # Every option of dbt can be set by a variable; what is published depends on none that a
        # person has about.
        kept = {
            name: value
            for name, value in inherited.items()
            if not name.startswith("DBT_") or "DBT_ENV_" in name
        }
        return kept | own | {"LOC_SESSION": "1"}
    published = warehouse.current("prod").folder / "dbt"
    defer = (
        {"DBT_DEFER": "true", "DBT_STATE": str(published)}
        if deferred and published.exists()
        else {}
    )
    return defer | inherited | own
