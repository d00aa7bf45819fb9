"""Serves dbt's documentation of the published version: models, columns, tests and lineage.

The page is dbt's own. It contains the version's manifest, and a catalog that is read from the
version's database file. ``dbt docs generate --static`` makes the same page, but needs seconds and
exclusive use of the database.
"""

import json
from datetime import UTC, datetime
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from proto_loc import warehouse
from proto_loc.metrics.marts import marts
from proto_loc.warehouse import NoData, store

PATH = "/dbt-docs/"
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'",
}


def page(request: Request) -> Response:
    """The documentation of the current version of ``prod``, as a web page."""
    try:
        version = warehouse.current("prod")
        if not (version.folder / "dbt" / "manifest.json").exists():
            raise NoData("prod holds no models yet.", "", "Run `loc refresh`.")
    except NoData:
        text = (
            "<p>There is no data yet, so there is nothing to document. Run <code>loc"
            " refresh</code>.</p>"
        )
        return HTMLResponse(text, headers=HEADERS)
    return HTMLResponse(_page(version.id, version.published_at), headers=HEADERS)


@lru_cache(maxsize=1)
def _page(version_id: int, _published_at: str) -> bytes:
    version = store.find("prod", version_id)
    manifest = json.loads((version.folder / "dbt" / "manifest.json").read_text())
    text = (
        Path(find_spec("dbt").submodule_search_locations[0]) / "task" / "docs" / "index.html"
    ).read_text()
    for name, content in {"MANIFEST": manifest, "CATALOG": catalog(version, manifest)}.items():
        # A "</" could end the script element that holds it.
        text = text.replace(f'"{name}.JSON INLINE DATA"', json.dumps(content).replace("</", "<\\/"))
    # Without a place in its address, the page would open on a text about dbt.
    place = json.dumps(f"#{start(manifest)}")
    script = f"<script>location.hash.length > 2 || location.replace({place})</script>"
    return text.replace("<head>", f"<head>{script}", 1).encode()


def start(manifest: dict) -> str:
    """The place in the page that shows the lineage of all marts."""
    names = sorted(manifest["nodes"][unique_id]["name"] for unique_id in marts(manifest))
    return "!/overview?g_v=1&g_i=" + quote(" ".join(f"+{name}" for name in names), safe="")


def catalog(version: warehouse.Version, manifest: dict) -> dict:
    """dbt's catalog.json of a version: columns, types and rows of the tables, by their nodes."""
    columns = version.columns()
    nodes = {}
    for unique_id, node in manifest["nodes"].items():
        matches = columns.get(f"{node['schema']}.{node.get('alias')}")
        if node["resource_type"] in ("model", "seed", "snapshot") and matches:
            rows = version.tables.get(f"{node['schema']}.{node['alias']}")
            stats = {"has_stats": _statistic("has_stats", "Has Stats?", rows is not None)}
            if rows is not None:
                stats["rows"] = _statistic("rows", "Rows", rows) | {"include": True}
            nodes[unique_id] = {
                "unique_id": unique_id,
                "metadata": {
                    "type": "BASE TABLE",
                    "schema": node["schema"],
                    "name": node["alias"],
                    "database": version.database,
                    "comment": None,
                    "owner": f"version {version.id}",
                },
                "columns": {
                    name: {"name": name, "type": kind, "index": index, "comment": None}
                    for index, (name, kind) in enumerate(matches.items(), 1)
                },
                "stats": stats,
            }
    time = datetime.now(UTC).isoformat()
    metadata = {
        "dbt_schema_version": "https://schemas.getdbt.com/dbt/catalog/v1.json",
        "generated_at": time,
    }
    return {"metadata": metadata, "nodes": nodes, "sources": {}, "errors": None}


def _statistic(name: str, label: str, value: object) -> dict:
    return {"id": name, "label": label, "value": value, "include": False, "description": ""}
