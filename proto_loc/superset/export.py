"""Exports changes that people made to charts and dashboards to the bundle's files.

The export may run while the web server runs. It writes a file only if the file differs from
Superset, and changes only the lines that differ: the order and the comments of the other lines
stay.
"""

import argparse
import hashlib
import io
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import SingleQuotedScalarString

from proto_loc import files
from proto_loc.errors import LocError, exit_on_error
from proto_loc.settings import ROOT, private_folder, settings
from proto_loc.superset.bundle import forms
from proto_loc.superset.provision import LOCK

GENERATED = "# Made by `loc generate`"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--add", action="append", default=[], metavar="TITLE")
    parser.add_argument("--overwrite", action="store_true")
    parser.add_argument("--folder", type=Path, default=ROOT / "superset", help="of the bundle")
    options = parser.parse_args(arguments)
    home = private_folder(settings().data / "superset")
    with files.locked(home / LOCK):
        from superset.app import create_app

        with create_app().app_context():
            _provisioned()
            report = _Export(options.folder / "bundle", options.overwrite).run(options.add)
    print("\n".join(report) or "The files say what Superset holds.", flush=True)
    return 0


def _provisioned() -> None:
    from sqlalchemy import inspect
    from superset.extensions import db

    if not inspect(db.engine).has_table("loc_notes"):
        raise LocError(
            "There is nothing to export.",
            "Superset has not been provisioned.",
            "Run `loc superset provision`.",
        )


@dataclass
class File:
    """A file of the bundle."""

    path: Path
    text: str
    config: dict

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


class _Export:
    def __init__(self, folder: Path, overwrite: bool) -> None:
        from proto_loc.superset import schema

        self.folder, self.overwrite = folder, overwrite
        self.notes = schema.notes("object:")
        self.files = {kind: _read(folder / kind) for kind in ("datasets", "charts", "dashboards")}
        self.said: list[str] = []
        self.ahead: list[Path] = []
        """Files that were changed since provisioning, and whose object was changed as well."""
        self.texts: dict[Path, str | None] = {}
        """The texts to write; None to remove a file."""
        self.noted: dict[str, tuple[str, str, object]] = {}

    def run(self, add: list[str]) -> list[str]:
        from superset.extensions import db

        from proto_loc.superset import import_bundle, schema

        for title in add:
            self._add(title)
        for uuid, file in list(self.files["dashboards"].items()):
            self._item("dashboards", uuid, file)
        for uuid, file in list(self.files["charts"].items()):
            self._item("charts", uuid, file)
        self._datasets()
        if self.ahead and not self.overwrite:
            raise LocError(
                f"Nothing was written: {', '.join(map(str, self.ahead))} changed since it was"
                " provisioned.",
                "The same was changed in Superset too, and one of the two would be lost.",
                "Run it with --overwrite to take what Superset holds, and see with git what that"
                " changes.",
            )
        for path, text in self.texts.items():
            if text is None:
                path.unlink()
                continue
            files.replace(path, text)
        for uuid, (kind, fingerprint, item) in self.noted.items():
            schema.note(f"object:{uuid}", import_bundle.noted(kind, item, fingerprint))
        db.session.commit()
        return self.said

    def _add(self, title: str) -> None:
        """Add a dashboard that a person made to the bundle."""
        from superset.extensions import db
        from superset.models.dashboard import Dashboard

        dashboards = db.session.query(Dashboard).filter_by(dashboard_title=title).all()
        if len(dashboards) != 1:
            titles = ", ".join(
                sorted(repr(item.dashboard_title) for item in db.session.query(Dashboard))
            )
            what, fix = f"There is no dashboard {title!r}.", "Name one of them."
            if dashboards:
                what = f"{len(dashboards)} dashboards are called {title!r}."
                fix = "Give the one that you mean a title of its own."
            raise LocError(what, f"Superset has {titles}.", fix)
        self.files["dashboards"].setdefault(str(dashboards[0].uuid), self._new("dashboards", title))

    def _new(self, kind: str, name: str) -> File:
        """A new file for an object without one."""
        stem = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or kind
        taken = {file.path.stem for file in self.files[kind].values()}
        names = (stem, *(f"{stem}_{number}" for number in range(2, 1000)))
        name = next(name for name in names if name not in taken)
        return File(self.folder / kind / f"{name}.yaml", "", {})

    def _item(self, kind: str, uuid: str, file: File) -> None:
        from proto_loc.superset import import_bundle, serialize

        item, note = import_bundle.find(kind, uuid), self.notes.get(f"object:{uuid}")
        if item is None:
            if note is not None:
                self.texts[file.path] = None
            deleted, kept = "removed, it was deleted in Superset", "not provisioned yet, it stays"
            self._report(file.path, kept if note is None else deleted)
            return
        if kind == "dashboards":
            was = forms.short_dashboard(file.config) if file.config else {}
            current = serialize.dashboard(item)
            self._charts_of(item)
        else:
            known = file.config.get("params") or {}
            was = forms.short_chart(file.config, known) if file.config else {}
            current = serialize.chart(item, known)
        ahead = bool(file.text) and note is not None and note["file"] != file.fingerprint
        if current == was:
            if not ahead:
                self.noted[uuid] = (kind, file.fingerprint, item)
            return
        if ahead:
            if not import_bundle.edited(item, note):
                self._report(file.path, "changed since it was provisioned, it stays")
                return
            self.ahead.append(file.path)
        text = _merged(file.text, current, was)
        self.texts[file.path] = text
        self.noted[uuid] = (kind, hashlib.sha256(text.encode()).hexdigest(), item)
        self._report(file.path, "changed" if file.text else "made")

    def _charts_of(self, dashboard) -> None:
        """Add the charts that a person put on a dashboard of the bundle to the bundle."""
        for chart in dashboard.slices:
            uuid = str(chart.uuid)
            if uuid in self.files["charts"]:
                continue
            if not chart.table or str(chart.table.uuid) not in self.files["datasets"]:
                raise LocError(
                    f"Nothing was written: the chart {chart.slice_name!r} on"
                    f" {dashboard.dashboard_title!r} cannot be exported.",
                    f"Its dataset, {chart.datasource_name!r}, is not in"
                    f" {self.folder / 'datasets'}.",
                    "Choose a dataset of the bundle for it, or take it off the dashboard.",
                )
            self.files["charts"][uuid] = self._new("charts", chart.slice_name)

    def _datasets(self) -> None:
        """Report datasets that were changed in Superset; those changes are not exported."""
        from proto_loc.superset import import_bundle

        for uuid, file in self.files["datasets"].items():
            item, note = import_bundle.find("datasets", uuid), self.notes.get(f"object:{uuid}")
            if item is not None and note is not None and import_bundle.edited(item, note):
                where = (
                    "Its metrics and columns are defined in dbt: change them in dbt/models/marts"
                    " and run `loc generate`"
                    if file.text.startswith(GENERATED)
                    else "It is written by hand: change the file"
                )
                self._report(
                    file.path,
                    f"stays, though the dataset {item.table_name!r} was changed in Superset."
                    f" {where}; `loc superset provision --overwrite` drops what Superset has.",
                )

    def _report(self, path: Path, text: str) -> None:
        self.said.append(f"{path.relative_to(self.folder.parent.parent)}: {text}")


def _read(folder: Path) -> dict[str, File]:
    documents = {}
    for path in sorted(folder.glob("*.yaml")):
        text = path.read_text()
        try:
            config = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise LocError(f"{path} is no YAML.", f"{error}.", "Correct that line.") from error
        documents[str(config["uuid"])] = File(path, text, config)
    return documents


def _yaml() -> YAML:
    made = YAML()
    made.indent(mapping=2, sequence=4, offset=2)
    made.width = 10_000
    made.preserve_quotes = True
    made.representer.ignore_aliases = lambda _: True
    made.representer.add_representer(float, _float)
    return made


def _float(representer, value: float):
    """Write a float with a point, because YAML 1.1 reads ``1e-07`` as text."""
    return representer.represent_scalar(
        "tag:yaml.org,2002:float", re.sub(r"^(-?\d+)e", r"\1.0e", repr(value))
    )


_READER = yaml.SafeLoader("")


def _as_read(value: object) -> object:
    """Quote the texts that the reader would not read as text.

    The writer uses YAML 1.2, the reader 1.1: ``off``, ``yes`` and ``1:30`` are text only in 1.2.
    """
    if isinstance(value, dict):
        return {_as_read(key): _as_read(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_read(item) for item in value]
    if (
        isinstance(value, str)
        and _READER.resolve(yaml.ScalarNode, value, (True, False)) != "tag:yaml.org,2002:str"
    ):
        return SingleQuotedScalarString(value)
    return value


def _merged(text: str, current: dict, was: dict) -> str:
    """Apply the changes from ``was`` to ``current`` to the text of a file."""
    writer, written = _yaml(), io.StringIO()
    document = writer.load(text) if text else {}
    _merge(document, current, was)
    writer.dump(document, written)
    return written.getvalue()


def _merge(document: dict, current: dict, was: dict) -> None:
    for key in was.keys() - current.keys():
        document.pop(key, None)
    for key, value in current.items():
        if key in was and was[key] == value:
            continue
        old = document.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            _merge(old, value, was.get(key) or {})
        elif isinstance(old, list) and isinstance(value, list):
            _merge_list(old, value, was.get(key) or [])
        else:
            document[_as_read(key)] = _as_read(value)


def _merge_list(document: list, current: list, was: list) -> None:
    """Keep the lines of items that are unchanged or have the same id."""
    same = len(document) == len(was)
    remaining = list(zip(document, was, strict=True)) if same else []
    made = []
    for item in current:
        at = next(
            (n for n, (_, before) in enumerate(remaining) if before == item or _is(before, item)),
            None,
        )
        if at is None:
            made.append(_as_read(item))
            continue
        kept, before = remaining.pop(at)
        if before != item:
            _merge(kept, item, before)
        made.append(kept)
    document[:] = made


def _is(one: object, other: object) -> bool:
    return (
        isinstance(one, dict)
        and isinstance(other, dict)
        and "id" in one
        and one["id"] == other.get("id")
    )


if __name__ == "__main__":
    with exit_on_error():
        sys.exit(main(sys.argv[1:]))
