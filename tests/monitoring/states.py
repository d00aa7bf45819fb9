"""Parts of a state of the platform, as ``loc status --json`` shows them."""

from datetime import UTC, datetime

from proto_loc.home.schema import Run, Service, Status, Table


def state(**parts: list | None) -> Status:
    """The state of an empty platform in which Cube runs, with these parts instead."""
    known = {
        "schema": 1, "name": "shop", "clone": "/shop", "data": "/shop/data", "run": "/shop/.run",
        "git_revision": None, "services": [service()], "databases": [], "tables": [], "runs": [],
        "metrics": [], "marts": [], "machine": None,
    }  # fmt: skip
    return Status(at=datetime.now(UTC).isoformat(timespec="seconds"), **known | parts)


def service(name: str = "cube", verdict: str = "ready", **fields) -> Service:
    known = {
        "status": "Running", "health": "Ready", "probed": True, "once": False, "restarts": 0,
        "exit_code": 0, "pid": 7, "age": 1.0, "why": "", "problem": "", "description": "",
        "port": 4000, "pages": [], "memory": 1,
    }  # fmt: skip
    return Service(name=name, verdict=verdict, **known | fields)


def run(number: int, status: str = "FAILURE", job: str = "refresh", checks: tuple = ()) -> Run:
    name = f"{number:08d}-0000-4000-8000-000000000000"
    return Run(name, job, status, "a schedule", None, None, None, list(checks))


def table(stale: str = "", name: str = "orders") -> Table:
    return Table(
        source="shop", table=name, declared=True, loads=1, rows=10, synthetic=0, newest=None,
        fresh_within=86_400.0, stale=stale, small="", unpublished=0, audited=True, accepted=9,
        rejected=1, reasons={"no price": 1},
    )  # fmt: skip
