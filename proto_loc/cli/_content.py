"""Steps that the commands which write content share: generate, build on dev, publish, links."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import typer

from proto_loc.cli import _console
from proto_loc.errors import LocError, UsageError
from proto_loc.settings import ROOT, settings


def generate() -> None:
    """Make the generated files, and check Cube's model and the dashboards.

    Raises:
        LocError: the project does not parse, or a definition is not supported.
    """
    from proto_loc.cli import _generated_files as generated
    from proto_loc.cli import generate as command
    from proto_loc.dbt import parse
    from proto_loc.metrics.read import read

    models = read(parse.manifest())
    command.check_cube(models)
    generated.write(ROOT, models)
    command.check_bundle(models)


@contextmanager
def generated_files_return() -> Iterator[None]:
    """Restore the generated files if the block fails."""
    from proto_loc.cli import _generated_files as generated

    before = generated.present(ROOT)
    try:
        yield
    except BaseException:
        for name in generated.present(ROOT).keys() - before.keys():
            (ROOT / name).unlink()
        for name, text in before.items():
            if not (ROOT / name).exists() or (ROOT / name).read_text() != text:
                (ROOT / name).write_text(text)
        raise


def build_on_dev(*selected: str) -> str:
    """Build and test models on ``dev``; return dbt's closing line.

    Raises:
        LocError: a model or test failed; the message has dbt's words.
    """
    from proto_loc import sources, warehouse
    from proto_loc.dbt import program
    from proto_loc.warehouse import lake

    lake.settle(sources.declared_columns())
    warehouse.ensure("prod")
    done = subprocess.run(
        [program.DBT, "--no-use-colors", "build", "--target", "dev", "--select", *selected],
        cwd=program.PROJECT,
        env=program.environment("dev"),
        capture_output=True,
        text=True,
    )
    lines = [line[10:] for line in (done.stdout + done.stderr).splitlines() if line[10:].strip()]
    if done.returncode != 0:
        faults = [i for i, line in enumerate(lines) if "Failure in" in line or "Error" in line]
        raise LocError(
            "The models do not pass on dev.",
            "\n" + "\n".join(lines[faults[0] : faults[0] + 30] if faults else lines[-20:]),
            "Mend the data or the declaration, then run it again.",
        )
    return next((line for line in reversed(lines) if "PASS=" in line), "")


def confirm(question: str) -> None:
    """Ask a person at a terminal, and exit if the answer is no.

    Raises:
        UsageError: there is no terminal; nothing was done.
    """
    if not sys.stdin.isatty():
        raise UsageError("Nobody can be asked.", "There is no terminal.", "Add --yes.")
    if not typer.confirm(question, default=True, err=True):
        raise typer.Exit(1)


def publish(loading: Callable | None, who: str):
    """Load and publish here, and show what was loaded; return what was done.

    Raises:
        LocError: see :func:`proto_loc.refresh.job.load_and_refresh`.
    """
    from proto_loc.cli import pipeline
    from proto_loc.refresh.job import load_and_refresh

    with _console.progress() as report:
        done = load_and_refresh(loading, who=who, report=report)
    pipeline._close(done)
    return done


def publish_nothing(who: str) -> None:
    """Publish a version of ``prod`` without tables, for a project without models.

    Raises:
        WarehouseError: see :func:`proto_loc.warehouse.write`.
    """
    from proto_loc import warehouse
    from proto_loc.dbt import relations

    with warehouse.write("prod", who=who) as session:
        with session.connect() as con:
            relations.remove(session, con, keep=set(), rebuild=set())
        session.facts = {"load_ids": []}


def forget(name: str) -> None:
    """Forget the imported code of a source, which was removed."""
    for module in [
        m for m in sys.modules if m == f"pipelines.{name}" or m.startswith(f"pipelines.{name}.")
    ]:
        del sys.modules[module]


def tell_services() -> None:
    """Let running services take the new content: Superset imports it, Dagster loads it."""
    from proto_loc import services
    from proto_loc.dagster import client
    from proto_loc.services import ports

    with suppress(LocError):
        client.find()
    listeners = ports.listeners([settings().port("superset")])
    if services.mark("superset") not in [one.mark for one in listeners]:
        return
    command, env = services.start("superset-provision")
    command.remove("--wait")  # a person is told of a full disk at once
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    if done.returncode != 0:
        _console.err.print(
            "Superset could not take the dashboard; `loc superset provision` says why.",
            markup=False,
        )


def address_of(slug: str) -> str:
    """Address of a dashboard."""
    return f"http://127.0.0.1:{settings().port('superset')}/superset/dashboard/{slug}/"
