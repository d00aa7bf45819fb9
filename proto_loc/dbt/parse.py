"""Parses the dbt project into its manifest, only when a file has changed."""

import json
import shutil
import subprocess
from pathlib import Path

from proto_loc import warehouse
from proto_loc.dbt import program
from proto_loc.dbt.failures import BuildFailed
from proto_loc.dbt.fingerprints import project_hash
from proto_loc.errors import disk_is_full
from proto_loc.settings import settings
from proto_loc.warehouse import engine
from proto_loc.warehouse.errors import explained, no_space
from proto_loc.warehouse.lock import writer_lock


def manifest() -> dict:
    """Return dbt's manifest of the project as it is now.

    The parse has its own target folder, so that it need not wait for a session.

    Raises:
        BuildFailed: the project does not parse; dbt's message names the file and the line.
    """
    folder = program.target_path("dagster")
    with writer_lock(folder / "parse.lock", timeout=settings().lock_timeout):
        return _parsed(folder, None)


def session_manifest(session: warehouse.Session) -> dict:
    """Return dbt's manifest of the project as it is now, parsed in a session."""
    own, dagsters = program.target_path("prod"), program.target_path("dagster")
    if not own.exists() and dagsters.exists():  # so the first build need not parse
        with writer_lock(dagsters / "parse.lock", timeout=settings().lock_timeout):
            shutil.copytree(dagsters, own, ignore=shutil.ignore_patterns("parse.lock"))
    return _parsed(own, session)


def mark(keeper: engine.Engine) -> str:
    """What the file ``project.sha256`` beside a manifest holds: dbt reads it for one engine."""
    return f"{project_hash()} {keeper.name}"


def _parsed(folder: Path, session: warehouse.Session | None) -> dict:
    """Return dbt's manifest; parse the project only if one of its files has changed.

    The manifest is kept in a file of its own, because each run of dbt overwrites ``manifest.json``
    with what that run has seen.
    """
    stamp, path = folder / "project.sha256", folder / "parsed.json"
    project = mark(session.engine if session else engine.of("prod"))
    if not path.exists() or not stamp.exists() or stamp.read_text() != project:
        stamp.unlink(missing_ok=True)
        run = session.run if session else subprocess.run
        done = run(
            [program.DBT, "--quiet", "--no-use-colors", "parse", "--target", "prod"],
            cwd=session.folder if session else program.PROJECT,
            env=program.environment("prod", session=session, DBT_TARGET_PATH=str(folder)),
            capture_output=True,
            text=True,
        )
        if disk_is_full(done.stdout + done.stderr):
            with explained("Parsing the dbt project", folder):
                raise no_space(folder)
        if done.returncode != 0:
            raise BuildFailed(
                "The dbt project does not parse.",
                (done.stdout + done.stderr).strip(),
                "Mend that file, then run it again; prod is as it was.",
            )
        shutil.copy(folder / "manifest.json", path)
        stamp.write_text(project)
    return json.loads(path.read_text())
