"""The readers of a soak: people in Superset, clients of Cube, notebooks, and ``loc query``.

A reader asks for all metrics of a semantic model in one query, so that the answer is of one
version; a person in Superset also opens charts.
"""

import csv
import io
import json
import os
import random
import secrets
import subprocess
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, Self

from proto_loc.cube.client import Cube, Question
from proto_loc.errors import LocError
from proto_loc.jupyter.client import Kernel
from proto_loc.metrics.definitions import SemanticModel
from proto_loc.metrics.expressions import render
from proto_loc.settings import ROOT
from proto_loc.sql import identifier
from proto_loc.superset.client import Person

ACCOUNT = "loc-soak-"
"""How the names of the accounts in Superset begin, which a soak makes and removes."""
ROLES = (("Viewer", "All rows"), ("Analyst", "All rows"))
"""The roles of the accounts, in turn."""
SHARES = {"superset": 8, "cube": 5, "notebook": 3, "cli": 4}
"""Of 20 readers, how many are of each kind."""
SERVICES = {"superset": "superset", "cube": "cube", "notebook": "jupyter", "cli": "cube"}
"""The service that a kind of reader asks."""
PAUSES = {"superset": 1.0, "cube": 0.5, "notebook": 1.0, "cli": 3.0}
"""Seconds between two queries of a reader."""
TIMEOUT = 120.0


class Reader(Protocol):
    """A reader; a context manager that opens and closes its session."""

    kind: str

    @abstractmethod
    def __enter__(self) -> Self: ...

    @abstractmethod
    def __exit__(self, *_: object) -> None: ...

    @abstractmethod
    def totals(self, model: SemanticModel) -> dict[str, object]:
        """The total of each metric of the model, from one query.

        Raises:
            LocError: the tool did not answer it.
        """

    def browse(self) -> None:
        """Look at something else; by default at nothing."""


class InSuperset(Reader):
    """A person with an account and roles of their own."""

    kind = "superset"

    def __init__(self, name: str, password: str, datasets: dict, charts: list[dict]) -> None:
        self.person = Person(name, password, timeout=TIMEOUT)
        self.datasets, self.charts = datasets, charts

    def __enter__(self) -> Self:
        self.person.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.person.__exit__()

    def totals(self, model: SemanticModel) -> dict[str, object]:
        names = [metric.name for metric in model.metrics]
        answer = self.person.ask(
            self.datasets[model.schema, model.table], metrics=names, columns=[], row_limit=10
        )
        return answer.rows[0] if answer.rows else {}

    def browse(self) -> None:
        if self.charts:
            self.person.chart_data(random.choice(self.charts))


class OfCube(Reader):
    """A client of Cube's API."""

    kind = "cube"

    def __enter__(self) -> Self:
        self.cube = Cube(timeout=TIMEOUT).__enter__()
        self.meta = self.cube.meta()
        return self

    def __exit__(self, *_: object) -> None:
        self.cube.__exit__()

    def totals(self, model: SemanticModel) -> dict[str, object]:
        names = {f"{model.name}.{metric.name}": metric.name for metric in model.metrics}
        answer = self.cube.load(Question(tuple(names)).query(self.meta), self.meta)
        (row,) = answer.rows or ({},)
        return {short: row.get(name) for name, short in names.items()}


class InNotebook(Reader):
    """A kernel of JupyterLab that opens the published file for each query."""

    kind = "notebook"

    def __enter__(self) -> Self:
        self.kernel = Kernel(timeout=TIMEOUT).__enter__()
        self.kernel.run("import json; from proto_loc import warehouse")
        return self

    def __exit__(self, *_: object) -> None:
        self.kernel.__exit__()

    def totals(self, model: SemanticModel) -> dict[str, object]:
        sums = ", ".join(render(metric.expression) for metric in model.metrics)
        sql = f"select {sums} from {identifier(model.schema, model.table)}"
        cell = (
            f"with warehouse.read('prod') as _con: _row = _con.execute({sql!r}).fetchone()\n"
            "print(json.dumps([None if value is None else str(value) for value in _row]))"
        )
        row = json.loads(self.kernel.run(cell))
        return dict(zip((metric.name for metric in model.metrics), row, strict=True))


class InTerminal(Reader):
    """A person who runs ``loc query``."""

    kind = "cli"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def totals(self, model: SemanticModel) -> dict[str, object]:
        names = [part for metric in model.metrics for part in ("-m", f"{model.name}.{metric.name}")]
        done = subprocess.run(
            [ROOT / "loc", "query", *names, "-f", "csv"],
            env=dict(os.environ),
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            start_new_session=True,  # Ctrl-C goes to the whole group of a terminal
        )
        if done.returncode:
            raise LocError("`loc query` failed.", " ".join(done.stderr.split()))
        rows = list(csv.DictReader(io.StringIO(done.stdout)))
        return {name: text or None for name, text in (rows[0] if rows else {}).items()}


def kinds(number: int, ready: set[str]) -> list[str]:
    """The kinds of so many readers, by their shares, of those whose service is ready."""
    weights = {kind: share for kind, share in SHARES.items() if SERVICES[kind] in ready}
    total = sum(weights.values())
    counts = {kind: number * share // total for kind, share in weights.items()}
    rest = sorted(weights, key=lambda kind: -(number * weights[kind] % total))
    for kind in rest[: number - sum(counts.values())]:
        counts[kind] += 1
    return [kind for kind, count in counts.items() for _ in range(count)]


@contextmanager
def made(chosen: list[str]) -> Iterator[list[Reader]]:
    """Make readers of these kinds, with an account for each person; the accounts go at the end.

    Raises:
        LocError: Superset refuses an account.
    """
    others = {"cube": OfCube, "notebook": InNotebook, "cli": InTerminal}
    people = chosen.count("superset")
    readers: list[Reader] = [others[kind]() for kind in chosen if kind != "superset"]
    if not people:
        yield readers
        return
    with Person() as admin:
        remove_accounts(admin)
        datasets = {
            (item["schema"], item["table_name"]): item["id"] for item in admin.items("dataset")
        }
        charts = list(_contexts(admin))
        try:
            for number in range(people):
                name, password = f"{ACCOUNT}{number}", secrets.token_urlsafe(24)
                admin.add_person(name, password, ROLES[number % len(ROLES)])
                readers.append(InSuperset(name, password, datasets, charts))
            yield readers
        finally:
            remove_accounts(admin)


def remove_accounts(admin: Person) -> None:
    """Remove the accounts of a soak, also those that a killed one has left."""
    for account in admin.items("security/users"):
        if account["username"].startswith(ACCOUNT):
            admin.remove_person(account["id"])


def _contexts(admin: Person) -> Iterator[dict]:
    """The saved queries of all charts on dashboards."""
    for dashboard in admin.items("dashboard"):
        for chart in admin.call("GET", f"dashboard/{dashboard['id']}/charts")["result"]:
            saved = admin.call("GET", f"chart/{chart['id']}")["result"]["query_context"]
            if saved:
                yield json.loads(saved)
