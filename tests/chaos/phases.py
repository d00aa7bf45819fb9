"""Program that refreshes and pauses in one phase: ``phases.py PHASE``.

It makes the file ``begun`` there, and waits while the file ``wait`` is in the folder
``CHAOS_FOLDER``. All else is the product's own code.
"""

import os
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
ROWS = 6000


def pause() -> None:
    """Wait while the test wants a pause."""
    folder = Path(os.environ["CHAOS_FOLDER"])
    if (folder / "wait").exists():
        (folder / "begun").touch()
        while (folder / "wait").exists():
            time.sleep(0.02)


def pause_before(owner: object, function: str) -> None:
    """Pause at each call of a function or method."""
    original = getattr(owner, function)

    def paused(*arguments, **options):
        pause()
        return original(*arguments, **options)

    setattr(owner, function, paused)


def refresh(phase: str) -> None:
    """Load, build, audit and publish, with a pause in this phase."""
    from proto_loc import sources
    from proto_loc.refresh.job import load_and_refresh
    from proto_loc.sources.dlt import Code, DltSource, DltTable
    from proto_loc.warehouse import file_engine, lake, store

    building = {
        "checkpoint": (file_engine, "_finished"),
        "publish": (store.Version, "dump"),
        "swap": (store, "swap"),
    }

    def report(step: str, doing: str, done: int, total: int) -> None:
        if phase == "dbt" and step == "build" and done:
            pause()

    source = sources.source_with_sample("")
    load = lambda report: source.load_sample(  # noqa: E731
        ROWS, seed=int(time.time()), who="chaos", report=report
    )
    if phase == "download":
        table = DltTable("events", {"number": "BIGINT", "text": "VARCHAR"}, mode="append")
        fetched = DltSource("events", (table,), Code("paused_source:events"))
        declared = sources.find_sources() | {"events": fetched}
        sources.find_sources = lambda: declared
        load = lambda report: fetched.fetch(who="chaos", report=report)  # noqa: E731
    if phase == "ingest":
        pause_before(lake.Loading, "add")

    def loading(report):
        outcomes = load(report)
        if phase in building:  # from here on, what is published is prod
            pause_before(*building[phase])
        return outcomes

    load_and_refresh(loading, who="chaos", report=report, force=True)


def provision() -> None:
    """Provision Superset, with a pause before the bundle is written."""
    from superset import app as superset

    from proto_loc.superset import provision as program

    create = superset.create_app

    def created():
        app = create()
        with app.app_context():  # the module can only be imported with an application
            from proto_loc.superset import import_bundle

            pause_before(import_bundle, "bring")
        return app

    superset.create_app = created
    program.main([])


def main(phase: str) -> None:
    from proto_loc.errors import exit_on_error

    with exit_on_error():
        if phase == "provisioning":
            provision()
        elif phase == "provision":
            from proto_loc import services

            command, env = services.start("superset-provision")
            env["PYTHONPATH"] += f"{os.pathsep}{HERE}"
            command = ["python", str(HERE / "phases.py"), "provisioning"]
            os.execvpe(command[0], command, env)
        else:
            refresh(phase)


if __name__ == "__main__":
    main(sys.argv[1])
