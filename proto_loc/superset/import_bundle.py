"""Imports the datasets, charts and dashboards of ``superset/bundle`` into Superset.

Provisioning notes the file of each object and its state in Superset after the import. So it
recognizes what a person has changed since, reports it, and never overwrites or removes it. Objects
without a note belong to people, and are not touched.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import yaml
from superset import security_manager
from superset.commands.chart.importers.v1.utils import import_chart
from superset.commands.dashboard.importers.v1.utils import (
    find_chart_uuids,
    find_native_filter_datasets,
    import_dashboard,
    update_id_refs,
)
from superset.commands.database.importers.v1.utils import import_database
from superset.commands.dataset.importers.v1.utils import import_dataset
from superset.commands.exceptions import CommandInvalidError
from superset.commands.importers.v1.assets import ImportAssetsCommand
from superset.commands.utils import update_chart_config_dataset
from superset.connectors.sqla.models import SqlaTable
from superset.extensions import db
from superset.models.core import Database
from superset.models.dashboard import Dashboard
from superset.models.slice import Slice
from superset.utils.core import override_user

from proto_loc.errors import LocError
from proto_loc.superset import accounts, conflicts, contexts, schema, serialize
from proto_loc.superset.bundle import forms
from proto_loc.superset.doors import door

MODELS = {"databases": Database, "datasets": SqlaTable, "charts": Slice, "dashboards": Dashboard}
"""Folder of the bundle → Superset's model; an object refers only to earlier ones."""
_KEPT = (
    "The {what} was changed in Superset since it came from the bundle: it stays so. `./loc superset"
    " export` brings the change into the bundle, and `./loc superset provision --overwrite`"
    " drops it."
)


class Bundle:
    """The files of a bundle, checked by Superset's schemas.

    Raises:
        LocError: a file is not YAML, does not match its schema, or refers to a missing object.
    """

    def __init__(self, folder: Path) -> None:
        self.texts = {
            str(path.relative_to(folder)): path.read_text()
            for path in sorted(folder.rglob("*.yaml"))
        }
        for name, text in self.texts.items():
            try:
                yaml.safe_load(text)
            except yaml.YAMLError as error:
                raise LocError(
                    f"{folder / name} is no YAML.", f"{error}.", "Correct that line."
                ) from error
        command = ImportAssetsCommand(dict(self.texts))
        try:
            command.validate()
        except CommandInvalidError as error:
            faults = json.dumps(error.normalized_messages())
            raise LocError(
                "The bundle cannot be imported.", f"{faults}.", f"Correct the file in {folder}."
            ) from error
        self.configs = {
            name: forms.full_dashboard(config) if name.startswith("dashboards/") else config
            for name, config in command._configs.items()
        }
        self._on_the_engine()
        for kind in MODELS:
            inside = {config["uuid"] for config, _ in self.of(kind)}
            for name, reference in self._references(kind):
                if reference - inside:
                    raise LocError(
                        f"{folder / name} cannot be imported.",
                        f"It refers to a {kind[:-1]} with the uuid"
                        f" {min(reference - inside)}, and no file has that.",
                        f"Correct the uuid, or add the {kind[:-1]} to {folder / kind}.",
                    )

    def of(self, folder: str) -> Iterator[tuple[dict, str]]:
        """Yield the configuration and fingerprint of each file of a folder."""
        for name, config in self.configs.items():
            if name.startswith(f"{folder}/"):
                yield config, hashlib.sha256(self.texts[name].encode()).hexdigest()

    def _on_the_engine(self) -> None:
        """Give databases the address of the engine of LOC_ENGINE: their files have DuckDB's.

        The text has it too, so that a change of the engine is one of the file.
        """
        for name, config in self.configs.items():
            if name.startswith("databases/"):
                written = config["sqlalchemy_uri"]
                config["sqlalchemy_uri"] = door().address
                self.texts[name] = self.texts[name].replace(written, door().address)

    def _references(self, kind: str) -> Iterator[tuple[str, set[str]]]:
        """Yield each file's name, and the uuids of this kind that it refers to."""
        for name, config in self.configs.items():
            if name.startswith("dashboards/"):
                filters = find_native_filter_datasets(config.get("metadata", {}))
                uuids = {"charts": find_chart_uuids(config["position"]), "datasets": filters}
                yield name, uuids.get(kind, set())
            elif key := {"databases": "database_uuid", "datasets": "dataset_uuid"}.get(kind):
                yield name, {config[key]} if key in config else set()


def state(item: Database | SqlaTable | Slice | Dashboard) -> str:
    """A fingerprint of an object in Superset, without what Superset writes by itself."""
    return hashlib.sha256(
        json.dumps(_content(item), sort_keys=True, default=str).encode()
    ).hexdigest()


def _content(item: Database | SqlaTable | Slice | Dashboard) -> dict:
    """Return the part of an object that a person can change; the short form, if it has one.

    So an import of an exported file is not a change, even if its order and defaults differ.
    """
    if isinstance(item, Slice):
        content = serialize.chart(item, {})
        content.pop("query_context", None)  # a chart's page writes it by itself
        return content
    if isinstance(item, Dashboard):
        return serialize.dashboard(item)
    content = item.export_to_dict(
        recursive=isinstance(item, SqlaTable),
        include_parent_ref=False,
        include_defaults=True,
        export_uuids=True,
    )
    for key in ("columns", "metrics"):
        if key in content:
            content[key] = sorted(
                content[key], key=lambda part: json.dumps(part, sort_keys=True, default=str)
            )
    return content


def _is_as_filed(kind: str, item, config: dict) -> bool:
    """Whether a chart or dashboard has the content of its file."""
    if kind == "charts":
        filed = forms.short_chart(config)
        filed.pop("query_context", None)
        return _content(item) == filed
    return kind == "dashboards" and _content(item) == forms.short_dashboard(config)


def bring(folder: Path, *, overwrite: bool = False) -> set[str]:
    """Import new and changed files, and remove objects without a file; keep what people changed.

    Args:
        folder: the bundle.
        overwrite: also overwrite what people changed.

    Returns:
        The uuids of its datasets.

    Raises:
        LocError: the bundle cannot be read or imported; nothing was imported.
    """
    bundle = Bundle(folder)
    conflicts.refuse(
        bundle.configs, {key.removeprefix("object:") for key in schema.notes("object:")}
    )
    with override_user(security_manager.find_user(accounts.ADMIN)):
        imported = _Import(bundle, overwrite)
        for kind in MODELS:
            imported.all_of(kind)
        imported.save_queries()
        imported.prune()
    db.session.commit()
    if imported.done:
        print(
            f"{imported.done} of the {len(bundle.configs)} objects of the bundle were imported.",
            flush=True,
        )
    return {config["uuid"] for config, _ in bundle.of("datasets")}


class _Import:
    def __init__(self, bundle: Bundle, overwrite: bool) -> None:
        self.bundle, self.overwrite = bundle, overwrite
        self.notes = schema.notes("object:")
        self.done = 0
        """The number of imported objects."""
        self.renewed: set[str] = set()
        """uuids of objects with a new id; objects that refer to them are imported again."""
        self.kept: set[str] = set()
        """uuids of objects that a person changed, and that are not overwritten."""

    def all_of(self, kind: str) -> None:
        for config, file in self.bundle.of(kind):
            uuid, item = config["uuid"], find(kind, config["uuid"])
            if kind == "charts" and item is not None and item.table is None:
                self._point_again(item, config)
            known = self.notes.get(f"object:{uuid}")
            written = item is not None and edited(item, known)
            changed = written and not _is_as_filed(kind, item, config)
            fresh = item is not None and known is not None and known["file"] == file and not changed
            if fresh and not self._refers_to_renewed(kind, config):
                if written:  # note the new time of its last change
                    schema.note(f"object:{uuid}", noted(kind, item, file))
                continue
            if changed and kind != "databases" and not self.overwrite:
                print(_KEPT.format(what=_words(kind, item)), flush=True)
                self.kept.add(uuid)
                continue
            self._import(kind, config)
            self._note(kind, uuid, file)
            if item is None:
                self.renewed.add(uuid)

    def _point_again(self, item: Slice, config: dict) -> None:
        """Connect a chart with its dataset again, after a person deleted the dataset."""
        item.datasource_id = find("datasets", config["dataset_uuid"]).id
        db.session.flush()
        db.session.expire(item)

    def _refers_to_renewed(self, kind: str, config: dict) -> bool:
        if kind == "charts":
            return config["dataset_uuid"] in self.renewed
        if kind != "dashboards":
            return False
        filters = find_native_filter_datasets(config.get("metadata", {}))
        return bool((find_chart_uuids(config["position"]) | filters) & self.renewed)

    def _import(self, kind: str, config: dict) -> None:
        if kind == "databases":
            import_database(config, overwrite=True)
        elif kind == "datasets":
            config["database_id"] = find("databases", config["database_uuid"]).id
            import_dataset(config, overwrite=True)
        elif kind == "charts":
            import_chart(
                update_chart_config_dataset(config, _dataset(config["dataset_uuid"])),
                overwrite=True,
            )
        else:
            self._dashboard(config)

    def _dashboard(self, config: dict) -> None:
        charts = {uuid: find("charts", uuid).id for uuid in find_chart_uuids(config["position"])}
        datasets = {
            uuid: _dataset(uuid) for uuid in find_native_filter_datasets(config.get("metadata", {}))
        }
        dashboard = import_dashboard(update_id_refs(config, charts, datasets), overwrite=True)
        dashboard.slices = db.session.query(Slice).filter(Slice.id.in_(charts.values())).all()

    def save_queries(self) -> None:
        """Save the query of each chart, unless a person changed it and saved one in a browser."""
        for config, _ in self.bundle.of("charts"):
            chart = find("charts", config["uuid"])
            if chart.table is not None and not (
                config["uuid"] in self.kept and chart.query_context
            ):
                contexts.save(chart)

    def prune(self) -> None:
        """Remove objects without a file, unless a person changed or uses them."""
        inside = {config["uuid"] for kind in MODELS for config, _ in self.bundle.of(kind)}
        remaining = {key.removeprefix("object:"): known for key, known in self.notes.items()}
        remaining = {
            uuid: known
            for uuid, known in remaining.items()
            if uuid not in inside and known["kind"] != "databases"
        }
        for kind in reversed(MODELS):
            for uuid in [uuid for uuid, known in remaining.items() if known["kind"] == kind]:
                item = find(kind, uuid)
                if item is not None:
                    changed = edited(item, remaining[uuid]) and not self.overwrite
                    keep = changed or _used(item)
                    why = "was changed" if changed else "is used"
                    end = f"stays: it {why} in Superset." if keep else "is removed."
                    print(f"The {_words(kind, item)} left the bundle, and {end}", flush=True)
                    if not keep:
                        db.session.delete(item)
                        db.session.flush()
                schema.note(f"object:{uuid}", None)

    def _note(self, kind: str, uuid: str, file: str) -> None:
        """Note an imported object with its current state in Superset."""
        db.session.flush()
        db.session.expire_all()
        item = find(kind, uuid)
        schema.note(f"object:{uuid}", noted(kind, item, file))
        self.done += 1


def noted(kind: str, item, file: str) -> dict[str, str]:
    """Make the note of an object that has the content of its file, with fingerprint ``file``."""
    return {"kind": kind, "file": file, "state": state(item), "written": _written(item)}


def find(kind: str, uuid: str):
    return db.session.query(MODELS[kind]).filter_by(uuid=uuid).one_or_none()


def edited(item, known: dict | None) -> bool:
    """Whether a person has changed an object since it was noted.

    Both its time and its content must differ: pages write some things by themselves, and another
    release of Superset may store the same content differently.
    """
    return known is None or (_written(item) != known["written"] and state(item) != known["state"])


def _written(item) -> str:
    """A fingerprint of when an object, its columns and its metrics were last written."""
    parts = [item, *getattr(item, "columns", []), *getattr(item, "metrics", [])]
    return hashlib.sha256(
        str(sorted((str(part.uuid), str(part.changed_on)) for part in parts)).encode()
    ).hexdigest()


def _words(kind: str, item) -> str:
    """The kind and the name of an object, such as ``chart 'Revenue'``."""
    attributes = ("dashboard_title", "slice_name", "table_name", "database_name")
    name = next(getattr(item, name) for name in attributes if hasattr(item, name))
    return f"{kind[:-1]} {name!r}"


def _dataset(uuid: str) -> dict:
    item = find("datasets", uuid)
    return {
        "datasource_id": item.id,
        "datasource_type": item.datasource_type,
        "datasource_name": item.table_name,
    }


def _used(item: SqlaTable | Slice | Dashboard) -> bool:
    """Whether a chart or dashboard uses the object; those without a file are removed earlier."""
    if isinstance(item, Slice):
        return bool(item.dashboards)
    if isinstance(item, SqlaTable):
        charts = db.session.query(Slice).filter_by(datasource_id=item.id, datasource_type="table")
        return bool(charts.count())
    return False
