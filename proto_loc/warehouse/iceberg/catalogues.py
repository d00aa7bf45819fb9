"""Trino's catalogues, each on one branch or tag of Nessie; made and removed while Trino runs."""

import hashlib
import platform
import re

from proto_loc.settings import settings
from proto_loc.sql import identifier, literal
from proto_loc.trino import configuration, identities, places
from proto_loc.warehouse.iceberg.connection import TrinoConnection

PROD = "prod"
"""Reads ``main``: the published version, for tools that know no version. A statement there may find
two tables of different versions, as Trino asks Nessie for each of them.
"""


def owner() -> str:
    """Six characters that tell this data folder from others that share Trino and Nessie."""
    place = f"{platform.node()}:{settings().data}"
    return hashlib.sha256(place.encode()).hexdigest()[:6]


def session() -> str:
    """The catalogue of this data folder's write session; there is one at a time.

    It has one name in all sessions, so that dbt need not parse the project anew.
    """
    return f"s_{owner()}"


def of_version(version_id: int) -> str:
    """The catalogue and the tag of a version: ``v12``."""
    return f"v{version_id}"


def version_of(name: str) -> int | None:
    """The version of a catalogue or tag; None for another name."""
    return int(name[1:]) if re.fullmatch(r"v\d+", name) else None


def existing(con: TrinoConnection) -> set[str]:
    """Names of all catalogues."""
    return {name for (name,) in con.execute("show catalogs").fetchall()}


def is_kept(name: str) -> bool:
    """Whether Trino has a file of that catalogue, which is known sooner than it answers."""
    return (places.catalogues() / f"{name}.properties").exists()


def create(con: TrinoConnection, name: str, reference: str) -> None:
    """Make a catalogue that reads a branch or tag, in place of one of that name."""
    drop(con, name)
    settled = ", ".join(
        f"{identifier(key)} = {literal(value)}"
        for key, value in configuration.catalogue(reference).items()
    )
    con.execute(f"create catalog {identifier(name)} using iceberg with ({settled})")


def drop(con: TrinoConnection, name: str) -> None:
    """Remove a catalogue, if it is there; its tables stay."""
    con.execute(f"drop catalog if exists {identifier(name)}")


def writer() -> TrinoConnection:
    """A connection that may make and remove catalogues."""
    return TrinoConnection(identities.WRITER)
