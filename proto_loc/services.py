"""The services: what ``loc exec NAME`` starts for each process of ``process-compose.yaml``.

To add one: an entry here, its block in ``process-compose.yaml``, its port in :data:`proto_loc.settings.PORTS`, and what
it needs before its first start in :mod:`proto_loc.prepare`. Only the standard library is imported: every start pays.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from proto_loc import secrets
from proto_loc.errors import UsageError
from proto_loc.settings import ROOT, origin, settings, spare_loopback

MARK = "LOC_SERVICE"
"""In the environment of a service and of all that it starts: whose it is (the run folder), a colon, its name."""

DROPPED = ("PYTHON", "PC_", "CONDA_", "VIRTUAL_ENV", "JUPYTER", "LOC_SECRET_FILE", MARK)
"""How variables begin that no service gets from outside: they change what it runs, or belong to the supervisor."""


@dataclass(frozen=True)
class Service:
    """One service. ``{root}``, ``{run}``, ``{port}`` and ``{socket}`` stand for their values in its texts."""

    argv: tuple[str, ...]
    """Its command; programs of its environment come first."""
    environment: str = "platform"
    """The environment under ``.venvs/`` that it runs in."""
    variables: Mapping[str, str] = field(default_factory=dict)
    secret: str = ""
    """The secret it is given, as the path in ``LOC_SECRET_FILE``: to each its own, and to each that alone."""
    more_secrets: Mapping[str, str] = field(default_factory=dict)
    """Further ones of its own: the end of ``LOC_SECRET_FILE_...`` to the secret."""
    login: tuple[str, str] | None = None
    """For ``loc urls``: the account that a person logs in with, and the secret that is its password."""
    port: str = ""
    """Its name in :data:`proto_loc.settings.PORTS`."""
    socket: str = ""
    """The name of the Unix socket that it makes in the run folder."""
    ready: str = ""
    """The name of the file that it makes in the run folder once it is ready; one of an earlier start is removed."""
    links: Mapping[str, str] = field(default_factory=dict)
    """For ``loc urls``: what is there, and its path; ``{secret}`` stands for the secret."""

    @property
    def stays(self) -> bool:
        """Whether it is to stay up: then it has something that others see it by."""
        return bool(self.port or self.socket or self.ready)


_SUPERSET = {
    "PYTHONPATH": "{root}:{root}/superset",  # the folder holds no package of that name, so it hides none
    "SUPERSET_CONFIG_PATH": "{root}/superset/superset_config.py",
}

SERVICES = {
    "setup": Service(("python", "-m", "proto_loc.cli", "prepare")),
    "dagster-code": Service(("python", "-m", "pipelines.code"), socket="dagster-code.sock"),
    "dagster-web": Service(
        ("python", "-m", "pipelines.web"),
        secret="dagster",
        port="dagster",
        links={"Dagster": "/?token={secret}", "dbt docs": "/dbt-docs/?token={secret}"},
    ),
    "dagster-daemon": Service(("python", "-m", "pipelines.daemon"), ready="dagster-daemon.ready"),
    "cube": Service(
        ("python", "-m", "proto_loc.cubeserver"), variables={"CUBE_PORT": "{port}"}, secret="cube", port="cube"
    ),
    "jupyter": Service(
        ("jupyter-lab",),
        environment="notebooks",
        variables={
            "JUPYTER_PORT": "{port}",
            # All of its own in the run folder; configuration and the kernel from the repository.
            **{f"JUPYTER_{name.upper()}_DIR": f"{{run}}/jupyter/{name}" for name in ("config", "data", "runtime")},
            **dict.fromkeys(("JUPYTER_CONFIG_PATH", "JUPYTER_PATH"), f"{ROOT}/proto_loc/jupyter"),
            "IPYTHONDIR": "{run}/jupyter/ipython",
            "MPLCONFIGDIR": "{run}/jupyter/matplotlib",
        },
        secret="jupyter",
        port="jupyter",
        links={"JupyterLab": "/lab/tree/start_here.ipynb?token={secret}"},
    ),
    "first-load": Service(("python", "-m", "proto_loc.cli", "first-load")),
    "superset-provision": Service(
        ("python", "-m", "loc_superset.provision"),
        environment="superset",
        variables=_SUPERSET,
        secret="superset",
        more_secrets={"ADMIN": "superset-admin"},
    ),
    "superset": Service(
        ("gunicorn", "--config", "python:loc_superset.gunicorn"),
        environment="superset",
        variables=_SUPERSET,
        secret="superset",
        port="superset",
        links={"Superset": "/"},
        login=("admin", "superset-admin"),
    ),
}


def find(name: str) -> Service:
    """The service of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in SERVICES:
        raise UsageError(f"There is no service {name!r}.", "", f"Choose from: {', '.join(SERVICES)}.")
    return SERVICES[name]


def mark(name: str = "") -> str:
    """What :data:`MARK` is for that service of this clone; without a name, how it begins for all of them."""
    return f"{settings().run}:{name}"


def trouble(name: str, text: str | None = None) -> str:
    """What keeps a service that runs from its work, as it says itself by a ``text`` (empty: nothing does)."""
    path = settings().run / f"{name}.trouble"
    if text:
        path.write_text(text)
    elif text is not None:
        path.unlink(missing_ok=True)
    return path.read_text() if path.exists() else ""


def start(name: str) -> tuple[list[str], dict[str, str]]:
    """The command of a service and its whole environment.

    Raises:
        LocError: there is no such service, or its secret cannot be read or made.
    """
    service, now = find(name), settings()
    texts = {"root": str(ROOT), "run": str(now.run), "port": "", "socket": ""}
    if service.port:
        texts["port"] = str(now.port(service.port))
    if service.socket:
        texts["socket"] = str(now.socket(service.socket))
    env = {key: value for key, value in os.environ.items() if not key.startswith(DROPPED)}
    spare_loopback(env)
    env["PATH"] = f"{ROOT / '.venvs' / service.environment / 'bin'}{os.pathsep}{env.get('PATH', os.defpath)}"
    env |= {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", MARK: mark(name)}
    env |= {"LOC_RUN": str(now.run), "LOC_DATA": str(now.data)}  # absolute: a service runs in the repository's root
    if libraries := os.environ.get("LOC_LIBRARY_PATH"):
        env["LD_LIBRARY_PATH"] = libraries  # for this process alone: in a shell it breaks the user's own programs
    if service.secret:
        secrets.secret(service.secret)
        env["LOC_SECRET_FILE"] = str(secrets.path(service.secret))
    for end, secret in service.more_secrets.items():
        secrets.secret(secret)
        env[f"LOC_SECRET_FILE_{end}"] = str(secrets.path(secret))
    env |= {key: value.format_map(texts) for key, value in service.variables.items()}
    return [part.format_map(texts) for part in service.argv], env


def urls(names: Iterable[str] = tuple(SERVICES)) -> dict[str, str]:
    """A working link for each thing of these services that a browser can open, secrets included: title to URL."""
    found = {}
    for service in (SERVICES[name] for name in names if name in SERVICES):
        for title, path in service.links.items():
            given = path.format(secret=secrets.secret(service.secret)) if service.secret else path
            found[title] = f"{origin(settings().port(service.port))}{given}"
    return found


def logins(names: Iterable[str] = tuple(SERVICES)) -> dict[str, tuple[str, str]]:
    """How a person logs in where a link alone does not: title of the link to the account and its first password."""
    return {
        title: (service.login[0], secrets.secret(service.login[1]))
        for service in (SERVICES[name] for name in names if name in SERVICES)
        for title in service.links
        if service.login
    }


def lines(names: Iterable[str] = tuple(SERVICES)) -> list[str]:
    """The links of these services for a person to read, each with what to log in with."""
    names = tuple(names)
    known = logins(names)
    said = {title: f"  (log in as {known[title][0]}, password {known[title][1]})" for title in known}
    return [f"{title:<10} {url}{said.get(title, '')}" for title, url in urls(names).items()]
