"""Objects of the bundle that Superset would take for what a person has made.

Its import looks for the same name as well as for the same uuid, and would make the one that it
finds into the bundle's.
"""

from collections.abc import Iterator

from superset.connectors.sqla.models import SqlaTable
from superset.extensions import db
from superset.models.core import Database
from superset.models.dashboard import Dashboard

from proto_loc.errors import LocError


def refuse(configs: dict[str, dict], noted: set[str]) -> None:
    """Raise where a file has the name of an object that does not come from the bundle.

    Args:
        configs: the objects of the bundle, by the path of their file.
        noted: the uuids of what came from the bundle before.

    Raises:
        LocError: there is one.
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
    """What Superset has of that name: the kind and the name in words, the object, what to do."""
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
