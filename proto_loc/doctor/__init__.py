"""Checks for ``loc doctor``, which find problems of a machine or clone and name the fix.

A check is a function that yields findings and changes nothing; a finding may have a repair. To add
one, write it in the module of its subject, add it to :data:`CHECKS`, and make its trouble in a test
with the mark ``trouble``: ``tests/doctor/test_troubles.py`` counts them.
"""

import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import psutil

from proto_loc.doctor import (
    clone,
    configuration,
    data,
    fork,
    machine,
    network,
    nix,
    notices,
    project,
    sandbox,
    security,
    stack,
    trino,
    versions,
    writers,
)
from proto_loc.doctor.finding import Finding
from proto_loc.errors import LocError, of_file, plain

CHECKS: dict[str, Callable[[], Iterator[Finding]]] = {
    "env-file": configuration.env_file,
    "settings": configuration.variables,
    "python": clone.python,
    "uv": clone.uv,
    "environments": clone.environments,
    "locks": configuration.locks,
    "versions": versions.versions,
    "running": versions.outdated,
    "memory": machine.memory,
    "limits": machine.limits,
    "clock": machine.clock,
    "umask": machine.umask,
    "encoding": machine.encoding,
    "windows": machine.windows,
    "folders": clone.folders,
    "space": clone.space,
    "disk": clone.disk,
    "writers": writers.writers,
    "staging": writers.staging,
    "other-programs": writers.others,
    "warehouse": data.warehouse,
    "sources": data.sources,
    "hosts": network.hosts,
    "proxies": network.proxies,
    "mirrors": network.mirrors,
    "manifest": project.manifest,
    "schedules": fork.schedules,
    "notices": notices.channels,
    "backups": fork.backups,
    "notebooks": fork.notebooks,
    "sandbox": sandbox.bubblewrap,
    "orphans": stack.orphans,
    "runs": stack.runs,
    "code": stack.code,
    "cube": stack.cube,
    "superset-key": stack.superset_key,
    "java": trino.find_java,
    "engine": trino.programs,
    "catalogues": trino.catalogues,
    "certificate": trino.tls,
    "trino": trino.running,
    "ports": clone.ports,
    "listeners": security.listeners,
    "secrets": security.secrets,
    "writable": security.folders,
    "process-compose": clone.process_compose,
    "sockets": clone.sockets,
    "launcher": clone.launcher,
    "libraries": nix.libraries,
    "loader": nix.loader,
    "nix": nix.features,
    "store": nix.store,
    "tracked": nix.tracked,
}
UNSEEN = (OSError, psutil.Error, subprocess.SubprocessError)
"""What a check or a repair meets that cannot look: a closed folder, a program that hangs."""


def look(names: Iterable[str] | None = None) -> Iterator[tuple[str, Finding]]:
    """Yield the findings of these checks, each with the check's name, and the errors in checks.

    An error that several checks meet, such as a setting that cannot be used, is yielded once. A
    check that cannot look is a finding, and the others go on.

    Args:
        names: names of :data:`CHECKS`; all of them if it is None.
    """
    known: set[str] = set()
    for name in CHECKS if names is None else names:
        try:
            for finding in CHECKS[name]():
                known.add(finding.what)
                yield name, finding
        except LocError as error:
            if error.what not in known:
                known.add(error.what)
                yield name, Finding("fail", error.what, error.why, error.fix)
        except UNSEEN as error:
            yield name, _blind(name, error)


def _blind(name: str, error: Exception) -> Finding:
    """What is said of a check that could not look."""
    what, why = f"The check {name} could not look.", f"{plain(error).removesuffix('.')}."
    if isinstance(error, OSError) and isinstance(error.filename, str) and error.strerror:
        reason = of_file(error)
        return Finding("fail", what, f"{reason.what} {reason.why}", reason.fix)
    return Finding("fail", what, why, "./loc doctor again; ./loc down if the machine is busy")


def mend(findings: Iterable[tuple[str, Finding]]) -> list[tuple[str, Finding]]:
    """Do the repairs of these findings, and look again at the checks that they come from.

    Nothing is repaired while ``.env`` cannot be read: it may name other folders and ports.

    Returns:
        The findings after the repairs, each with its check's name. What was done has the status
        ``done``, and comes before the check's new findings.
    """
    by_check: dict[str, list[Finding]] = {}
    for name, finding in findings:
        by_check.setdefault(name, []).append(finding)
    if any(finding.status == "fail" for finding in by_check.get("env-file", ())):
        why = "Nothing was repaired: that file may name other folders and ports."
        return [
            (name, replace(finding, why=f"{finding.why} {why}") if name == "env-file" else finding)
            for name, several in by_check.items()
            for finding in several
        ]
    result = []
    for name, before in by_check.items():
        done, reasons = [], {}
        for finding in before:
            if finding.repair:
                try:
                    done.append(Finding("done", f"{finding.what} {finding.repair()}"))
                except (LocError, *UNSEEN) as error:
                    reasons[finding.what] = f"{finding.why} The repair failed: {error}"
        after = [finding for _, finding in look([name])] if done else before
        result += [(name, one) for one in done]
        result += [(name, replace(one, why=reasons.get(one.what, one.why))) for one in after]
    return result
