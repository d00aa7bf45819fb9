"""Registry of the services that ``loc exec NAME`` starts; each service is one module.

Only the standard library is imported, since every start of a service waits for the imports.
"""

import os
from collections.abc import Iterable

from proto_loc import credentials
from proto_loc.errors import UsageError
from proto_loc.services import (
    cube,
    dagster_code,
    dagster_daemon,
    dagster_web,
    first_load,
    home,
    jupyter,
    nessie,
    setup,
    superset,
    trino,
)
from proto_loc.services.service import Service
from proto_loc.settings import ROOT, environment_folder, origin, settings, spare_loopback

MARK = "LOC_SERVICE"
"""Variable in the environment of every process of a service: run folder, colon, name."""

DROPPED = (
    *("PYTHON", "PC_", "CONDA_", "VIRTUAL_ENV", "JUPYTER"),
    *("LOC_SECRET_FILE", "LOC_RUN_ID", MARK),
)
"""Prefixes of variables that are not passed on to a service."""

DECLARED = {
    "nessie": nessie.SERVICE,
    "trino": trino.COORDINATOR,
    "trino-worker": trino.WORKER,
    "setup": setup.SERVICE,  # whose preparations wait for the engine, so that theirs come first
    "home": home.SERVICE,
    "dagster-code": dagster_code.SERVICE,
    "dagster-web": dagster_web.SERVICE,
    "dagster-daemon": dagster_daemon.SERVICE,
    "cube": cube.SERVICE,
    "jupyter": jupyter.SERVICE,
    "first-load": first_load.SERVICE,
    "superset-provision": superset.PROVISION,
    "superset": superset.SERVICE,
}
"""The services of all engines, by name."""

SERVICES = {
    name: service
    for name, service in DECLARED.items()
    if service.engine in ("", os.environ.get("LOC_ENGINE"))
}
"""The services of this engine, by name."""


def find(name: str) -> Service:
    """The service of that name.

    Raises:
        UsageError: no service has that name.
    """
    if name not in SERVICES:
        if name in DECLARED:
            engine = DECLARED[name].engine
            raise UsageError(
                f"There is no service {name!r} here.",
                f"It belongs to LOC_ENGINE={engine}, and the engine is {settings().engine}.",
                f"Set LOC_ENGINE={engine}; {ROOT / 'docs/trino.md'} says what that brings.",
            )
        raise UsageError(
            f"There is no service {name!r}.", "", f"Choose from: {', '.join(SERVICES)}."
        )
    return SERVICES[name]


def mark(name: str = "") -> str:
    """Value of :data:`MARK` for a service of this clone; without a name, the common prefix."""
    return f"{settings().run}:{name}"


def trouble(name: str, text: str | None = None) -> str:
    """Return why a running service cannot work, empty if it can; set it if ``text`` is given."""
    path = settings().run / f"{name}.trouble"
    if text:
        path.write_text(text)
    elif text is not None:
        path.unlink(missing_ok=True)
    return path.read_text() if path.exists() else ""


def start(name: str) -> tuple[list[str], dict[str, str]]:
    """The command of a service and all of its environment variables.

    Raises:
        LocError: the name is unknown, or a secret cannot be read or made.
    """
    service, own = find(name), settings()
    texts = {"root": str(ROOT), "run": str(own.run), "port": "", "socket": ""}
    if service.port:
        texts["port"] = str(own.port(service.port))
    if service.socket:
        texts["socket"] = str(own.socket(service.socket))
    env = {key: value for key, value in os.environ.items() if not key.startswith(DROPPED)}
    spare_loopback(env)
    programs = environment_folder(service.environment) / "bin"
    env["PATH"] = f"{programs}{os.pathsep}{env.get('PATH', os.defpath)}"
    env |= {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", MARK: mark(name)}
    if os.path.expanduser("~") == "~":  # no HOME, and no entry in passwd: Node asks for one
        env["HOME"] = str(own.run / "home")
    # Absolute paths, since a service runs in the root of the repository.
    env |= {"LOC_RUN": str(own.run), "LOC_DATA": str(own.data)}
    if libraries := os.environ.get("LOC_LIBRARY_PATH"):
        env["LD_LIBRARY_PATH"] = libraries  # set for a whole shell, it breaks other programs
    if service.secret:
        credentials.secret(service.secret)
        env["LOC_SECRET_FILE"] = str(credentials.path(service.secret))
    for end, secret in service.more_secrets.items():
        credentials.secret(secret)
        env[f"LOC_SECRET_FILE_{end}"] = str(credentials.path(secret))
    env |= {key: value.format_map(texts) for key, value in service.variables.items()}
    return [part.format_map(texts) for part in service.argv], env


def urls(names: Iterable[str] = tuple(SERVICES)) -> dict[str, str]:
    """URLs of the services' pages, by title; each contains the secret that it needs."""
    links, chosen = {}, set(names)
    for service in (service for name, service in SERVICES.items() if name in chosen):
        for title, path in service.links.items():
            if service.secret:
                path = path.format(secret=credentials.secret(service.secret))
            links[title] = f"{origin(settings().port(service.port))}{path}"
    return links


def lines(names: Iterable[str] = tuple(SERVICES)) -> list[str]:
    """The URLs of the services' pages as lines of text, each with its account and password."""
    names = tuple(names)
    hints = {
        title: f"  (log in as {service.login[0]}, password {credentials.secret(service.login[1])})"
        for service in (SERVICES[name] for name in names if name in SERVICES)
        for title in service.links
        if service.login
    }
    return [f"{title:<10} {url}{hints.get(title, '')}" for title, url in urls(names).items()]
