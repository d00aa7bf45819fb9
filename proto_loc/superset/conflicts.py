"""Refuses a bundle's object with the same name as one that a person made in Superset.

Superset's import matches objects by name as well as by uuid, so it would overwrite the person's
object.
"""

from collections.abc import Iterator

from superset.connectors.sqla.models import SqlaTable
from superset.extensions import db
from superset.models.core import Database
from superset.models.dashboard import Dashboard

from proto_loc.errors import LocError


def refuse(configs: dict[str, dict], noted: set[str]) -> None:
    """Check that no file has the name of an object that is not from the bundle.

    Args:
        configs: the objects of the bundle, by the path of their file.
        noted: the uuids of the objects that came from the bundle.

    Raises:
        LocError: a file has such a name.
    """
    replaced = noted - {config["uuid"] for config in configs.values() if "uuid" in config}
    for name, config in configs.items():
        for what, text, item, fix in _same_name(name.partition("/")[0], config):
            if str(item.uuid) not in {config["uuid"], *replaced}:
                raise LocError(
                    f"superset/bundle/{name} cannot be imported; nothing of the bundle was.",
                    f"It has {text}, and so has a {what} that was made in Superset.",
                    fix,
                )


def _same_name(kind: str, config: dict) -> Iterator[tuple]:
    """Yield Superset's objects with that name: kind, name in words, object, and the remedy."""
    if kind == "databases":
        name = config["database_name"]
        for item in db.session.query(Database).filter_by(database_name=name):
            yield "database", f"the name {name!r}", item, "Rename that one in Superset."
    elif kind == "datasets":
        schema, table = config.get("schema"), config["table_name"]
        for item in db.session.query(SqlaTable).filter_by(schema=schema, table_name=table):
            if str(item.database.uuid) == config["database_uuid"]:
                text = f"the table {schema}.{table}"
                yield "dataset", text, item, "Delete that one in Superset, or remove the file."
    elif kind == "dashboards" and (slug := config.get("slug")):
        for item in db.session.query(Dashboard).filter_by(slug=slug):
            fix = f"Give one of the two another slug; that one is called {item.dashboard_title!r}."
            yield "dashboard", f"the slug {slug!r}", item, fix
