"""Checks of Trino and Nessie, where ``LOC_ENGINE`` is trino."""

import os
from collections.abc import Iterator

from proto_loc.doctor.finding import Finding, ok
from proto_loc.errors import LocError
from proto_loc.services import SERVICES, launch, mark
from proto_loc.settings import ENGINES, settings
from proto_loc.setup import trino as setup
from proto_loc.trino import certificate, java, places, readiness


def is_used() -> bool:
    return settings().engine != ENGINES[0]


def find_java() -> Iterator[Finding]:
    """Check that there is a Java that runs Trino."""
    if not is_used():
        yield ok("LOC_ENGINE is duckdb: Trino and Nessie are not used")
        return
    try:
        program = java.find()
    except LocError as error:
        yield Finding(
            "fail",
            error.what,
            error.why,
            error.fix,
            symptom="Trino or Nessie does not start, and its log names Java",
        )
    else:
        yield ok(f"Java {java.major(program)} runs Trino: {program}")


def programs() -> Iterator[Finding]:
    """Check that the servers in .tools are those of golden.toml."""
    if not is_used():
        return
    missing = setup.missing()
    if missing:
        yield Finding(
            "fail",
            f"{' and '.join(missing)}: not installed in .tools.",
            "They are a gigabyte to download, and no other engine needs them.",
            "./loc setup trino",
            symptom="`./loc up` ends, since a server of Trino is not installed",
        )
    else:
        yield ok("Trino and Nessie are those of golden.toml")


def catalogues() -> Iterator[Finding]:
    """Check that Trino can keep its catalogues."""
    if not is_used():
        return
    folder = places.catalogues()
    if folder.exists() and not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield Finding(
            "fail",
            f"Trino cannot keep its catalogues in {folder}.",
            "It is not yours, cannot be written to, or is no folder.",
            f"ls -ld '{folder}' says which. Be its owner, chown it, or move it away",
            symptom="With Trino, a build ends since it can make no catalogue",
        )
    elif folder.exists():
        yield ok(f"Trino has {len(list(folder.glob('*.properties')))} catalogues in {folder}")


def tls() -> Iterator[Finding]:
    """Check how long the certificate of Trino is good."""
    if not is_used():
        return
    path = places.certificate()
    if not path.exists():
        yield ok("Trino has no certificate yet; its first start makes it")
        return
    ends = certificate.ends(path)
    if certificate.is_old(path):
        yield Finding(
            "fail",
            f"The certificate of Trino ends on {ends:%Y-%m-%d}.",
            f"{path} is made anew at a start in its last days, and Trino has run on since.",
            "./loc restart trino trino-worker",
            symptom="With Trino, everything fails with `certificate has expired`",
        )
    else:
        yield ok(f"The certificate of Trino is good until {ends:%Y-%m-%d}")


def running() -> Iterator[Finding]:
    """Check that Trino and Nessie are up, where other services are."""
    if not is_used():
        return
    runs = {name: bool(launch.left(mark(name))) for name in (*places.NODES, "nessie")}
    if not any(launch.left(mark(name)) for name in SERVICES):
        yield ok("Nothing is up, Trino neither")
        return
    down = [name for name, up in runs.items() if not (up and readiness.is_ready(name))]
    if down:
        yield Finding(
            "warn",
            f"{', '.join(down)}: not up.",
            "Services of this clone run, and without these they read nothing and build nothing.",
            f"./loc restart {down[0]}; its log: {places.log(down[0])}",
            symptom="With Trino, services run and show no data",
        )
    else:
        yield ok("Trino and Nessie are up")
