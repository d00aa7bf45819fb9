"""Checks for ``loc doctor``, which find problems of a machine or clone and name the fix.

A check is a function that yields findings and changes nothing. To add one, write it in the module
of its subject, add it to :data:`CHECKS`, and test it in ``tests/unit/test_doctor.py``.
"""

from collections.abc import Callable, Iterable, Iterator

from proto_loc.doctor import clone, data, fork, nix, notices, sandbox, security, versions
from proto_loc.doctor.finding import Finding
from proto_loc.errors import LocError

CHECKS: dict[str, Callable[[], Iterator[Finding]]] = {
    "python": clone.python,
    "uv": clone.uv,
    "environments": clone.environments,
    "versions": versions.versions,
    "running": versions.outdated,
    "folders": clone.folders,
    "space": clone.space,
    "warehouse": data.warehouse,
    "sources": data.sources,
    "schedules": fork.schedules,
    "notices": notices.channels,
    "backups": fork.backups,
    "notebooks": fork.notebooks,
    "sandbox": sandbox.bubblewrap,
    "ports": clone.ports,
    "listeners": security.listeners,
    "secrets": security.secrets,
    "process-compose": clone.process_compose,
    "sockets": clone.sockets,
    "launcher": clone.launcher,
    "libraries": nix.libraries,
    "loader": nix.loader,
    "nix": nix.features,
    "store": nix.store,
    "tracked": nix.tracked,
}


def look(names: Iterable[str] | None = None) -> Iterator[tuple[str, Finding]]:
    """Yield the findings of these checks, each with the check's name, and the errors in checks.

    Args:
        names: names of :data:`CHECKS`; all of them if it is None.
    """
    for name in CHECKS if names is None else names:
        try:
            for finding in CHECKS[name]():
                yield name, finding
        except LocError as error:
            yield name, Finding("fail", error.what, error.why, error.fix)
