"""Published samples, and a Superset, for suites that need them; each test run makes them once."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from proto_loc import warehouse
from proto_loc.dbt import program
from proto_loc.refresh.job import load_and_refresh
from proto_loc.settings import ROOT, settings
from proto_loc.setup import environments
from proto_loc.sources import find_sources

ROWS = 20_000


def publish_sample(rows: int) -> None:
    """Publish a sample of each source that has one, in this process.

    It loads ``rows`` rows, builds, audits and publishes in the environment's data folder.
    """
    sampled = [source for source in find_sources().values() if source.sample_rows]
    if not sampled:
        pytest.skip("no source of pipelines/ has a sample to publish")
    load_and_refresh(
        lambda report: [
            outcome
            for source in sampled
            for outcome in source.load_sample(rows, who="test", report=report)
        ],
        who="test",
        report=lambda *_: None,
    )


def copy_sample(home: Path, factory: pytest.TempPathFactory) -> Path:
    """Copy a platform with a published sample of 20,000 rows, as ``home/data`` and ``home/run``.

    The first process that needs the platform publishes it, and the others wait. The copy has
    another path, so its raw catalogue is rebuilt at its first use.

    Returns:
        The data folder.
    """
    if published := os.environ.get("PLATFORM_OF_TESTS"):  # with other content: tests/platform
        return copy_platform(Path(published), home)
    return copy_platform(_made_once("sample", factory, lambda: publish_sample(ROWS)), home)


def copy_superset(factory: pytest.TempPathFactory) -> None:
    """Copy a Superset without a bundle into the environment's data and run folders.

    Its metadata is migrated, and it has its key, roles and admin. Provisioning it takes 5 seconds
    instead of 15. Other files in the two folders stay.
    """
    environments.sync("superset")
    made = _made_once("superset", factory, _provision_nothing)
    for name, folder in (("data", settings().data), ("run", settings().run)):
        shutil.copytree(made / name, folder, dirs_exist_ok=True, symlinks=True)


def _provision_nothing() -> None:
    """Provision Superset in the environment's folders from files that have no object."""
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("charts", "dashboards", "datasets"):
            (Path(folder) / "bundle" / kind).mkdir(parents=True)
        shutil.copytree(ROOT / "superset/bundle/databases", Path(folder) / "bundle/databases")
        shutil.copy(ROOT / "superset/bundle/metadata.yaml", Path(folder) / "bundle")
        (Path(folder) / "roles.yaml").write_text("{}\n")
        warehouse.ensure("prod")
        code = (
            "import os, sys; from proto_loc import services\n"
            "command, env = services.start('superset-provision')\n"
            "os.execvpe(command[0], [*command, '--folder', sys.argv[1]], env)"
        )
        done = subprocess.run(
            [ROOT / ".venvs/platform/bin/python", "-c", code, folder],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    shutil.rmtree(settings().warehouse)


def _made_once(name: str, factory: pytest.TempPathFactory, make: Callable[[], None]) -> Path:
    """Return the folder of this name with ``data`` and ``run``, which all test processes share.

    Args:
        make: fills the environment's data folder. The first process calls it, and the others wait.
    """
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = shared / name
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            made = Path(tempfile.mkdtemp(dir=shared))
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("LOC_DATA", str(made / "data"))
                patch.setenv("LOC_RUN", str(made / "run"))
                make()
            made.rename(folder)
    return folder


def copy_platform(source: Path, home: Path) -> Path:
    """Copy the folders ``data`` and ``run`` of a platform, and return the copied data folder.

    dbt's target folders are named after the data folder. They move to the new name, so that the
    copy need not parse the project again.
    """
    shutil.copytree(source, home, dirs_exist_ok=True, symlinks=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOC_DATA", str(home / "data"))
        patch.setenv("LOC_RUN", str(home / "run"))
        for folder in (home / "run/dbt").glob("*-*"):
            folder.rename(program.target_path(folder.name.rpartition("-")[0]))
    return home / "data"
