"""Takes a dbt-duckdb project into a fork: checks it, parses a copy, then copies its files."""

import re
import shutil
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from proto_loc.dbt import publication
from proto_loc.errors import UsageError
from proto_loc.fork import trial
from proto_loc.metrics.read import read as read_metrics
from proto_loc.settings import ROOT
from proto_loc.sources import declared_columns

PATHS = {
    "model-paths": "models",
    "seed-paths": "seeds",
    "test-paths": "tests",
    "macro-paths": "macros",
    "snapshot-paths": "snapshots",
    "analysis-paths": "analyses",
}
"""Entry of dbt_project.yml → its folder if the entry is missing."""
DROPPED = ("profile", "target-path", "log-path", "clean-targets", "packages-install-path", *PATHS)
"""Entries that the platform decides."""
FILES = ("packages.yml", "dependencies.yml", "package-lock.yml", "selectors.yml")
PACKAGES = "packages"
"""Folder below ``dbt/`` of vendored packages; git ignores dbt's own, ``dbt_packages/``."""
STAGED = ("staging", "base", "intermediate")
"""Folders of models that are no marts."""
IGNORED = shutil.ignore_patterns(".git", "__pycache__", "target", "logs", ".DS_Store")


class Refused(UsageError):
    """A project that cannot work here; nothing was changed."""

    def __init__(self, place: Path | str, reason: str, fix: str) -> None:
        super().__init__(f"{place}: the project cannot be taken.", reason, fix)


@dataclass(frozen=True)
class Project:
    """A dbt project in a folder."""

    folder: Path
    content: dict
    """The content of its dbt_project.yml."""
    left_out: tuple[Path, ...] = ()
    """Files whose macros the platform defines itself."""

    @property
    def name(self) -> str:
        return self.content["name"]

    def paths(self) -> Iterator[str]:
        """Yield the folders of the project that exist, relative to it."""
        for entry, default in PATHS.items():
            for name in self.content.get(entry, [default]):
                if (self.folder / name).is_dir():
                    yield name

    def install(self, target: Path) -> None:
        """Write the project into a folder, with the settings of the platform."""
        for name in self.paths():
            shutil.copytree(self.folder / name, target / name, ignore=IGNORED, dirs_exist_ok=True)
        for path in self.left_out:
            (target / path.relative_to(self.folder)).unlink()
        for name in FILES:
            if (self.folder / name).exists():
                shutil.copyfile(self.folder / name, target / name)
        if (packages := _packages(self)).is_dir():
            shutil.copytree(packages, target / PACKAGES, ignore=IGNORED)
        text = yaml.safe_dump(_settings(self), sort_keys=False, allow_unicode=True, width=100)
        (target / "dbt_project.yml").write_text(
            f"# Made by `loc init --dbt` from the project {self.name}; yours from now on.\n{text}"
        )


def read(folder: Path, root: Path = ROOT) -> Project:
    """Read a project and check what can be seen without dbt.

    Raises:
        Refused: it cannot work here; the message names the file and the reason.
    """
    path = folder / "dbt_project.yml"
    if not path.is_file():
        raise Refused(folder, "It has no dbt_project.yml.", "Name the folder of a dbt project.")
    content = _yaml(path)
    if not re.fullmatch(r"[A-Za-z_]\w*", str(content.get("name", ""))):
        raise Refused(path, "It has no name.", "Write name: and a name of letters, digits and _.")
    project = Project(folder, content)
    for entry in (*PATHS, "packages-install-path"):
        values = content.get(entry, [])
        for value in values if isinstance(values, list) else [values]:
            if not isinstance(value, str) or Path(value).is_absolute() or ".." in value.split("/"):
                reason = f"{entry} names {value}, which is outside of the project."
                raise Refused(path, reason, "Move that folder into the project.")
    _check_profile(folder)
    _check_packages(project)
    return Project(folder, content, tuple(_doubled_macros(project, root)))


def check(project: Project, root: Path = ROOT) -> None:
    """Parse a copy of the project as it would be in the fork, and check what dbt sees.

    Raises:
        Refused: it cannot work here; the message names the file and the reason.
        BuildFailed: it does not parse; dbt's message names the file.
        MetricError: a metric is not supported; the message names it.
    """
    with tempfile.TemporaryDirectory(prefix="loc-trial-") as folder:
        copy = Path(folder)
        (copy / "dbt").mkdir()
        project.install(copy / "dbt")
        shutil.copyfile(root / "dbt/profiles.yml", copy / "dbt/profiles.yml")
        manifest = trial.parse(copy, root, "Nothing was changed.")
    check_manifest(project, manifest)


def check_manifest(project: Project, manifest: dict) -> None:
    """Check what dbt sees in the project.

    Raises:
        Refused, MetricError: see :func:`check`.
    """
    for unique_id, node in sorted(manifest["nodes"].items()):
        place = project.folder / node["original_file_path"]
        if node["package_name"] != project.name or node["resource_type"] == "test":
            continue
        if node["config"].get("materialized") == "external":
            reason = f"{unique_id} writes a file (materialized: external)."
            raise Refused(place, reason, "Make it a table; readers get it from prod.")
        relation = (node.get("schema", ""), node.get("alias", ""))
        if relation[0] == "raw" or relation in publication.TABLES:
            reason = f"{unique_id} would be {'.'.join(relation)}, a name of the platform."
            raise Refused(place, reason, "Give it another schema or alias.")
    _check_sources(project, manifest)
    read_metrics(manifest)


def install(project: Project, root: Path = ROOT) -> list[str]:
    """Copy the project into ``dbt/``; return a line for what a person should know.

    Raises:
        Refused: the fork has models already.
    """
    check_room(root)
    project.install(root / "dbt")
    lines = [f"dbt/: the project {project.name}"]
    lines += [f"left out, as the platform has it: {path.name}" for path in project.left_out]
    return lines


def check_room(root: Path = ROOT, without: Collection[str] = ()) -> None:
    """Refuse a fork that has models of its own.

    Args:
        without: paths from the root of the repository that will be gone by then.

    Raises:
        Refused: a model, a seed, a vendored package, ... exists.
    """
    for place in ("models", "seeds", "snapshots", "tests", "macros", "analyses", PACKAGES):
        for path in sorted((root / "dbt" / place).rglob("*")):
            if path.is_file() and path.relative_to(root).as_posix() not in without:
                raise Refused(
                    path, "The fork has a dbt project of its own.",
                    "Copy the models by hand, or start from a clone without them.",
                )  # fmt: skip


def _check_profile(folder: Path) -> None:
    path = folder / "profiles.yml"
    if not path.exists():
        return
    for profile, entry in _yaml(path).items():
        outputs = entry.get("outputs") if isinstance(entry, dict) else None
        for name, output in outputs.items() if isinstance(outputs, dict) else ():
            place = f"{path}, {profile}.{name}"
            if not isinstance(output, dict):
                raise Refused(place, "It is no mapping of names to values.", "Mend or remove it.")
            if output.get("type") != "duckdb":
                reason = f"It is for {output.get('type')}, and the platform runs DuckDB."
                raise Refused(place, reason, "Take a project of dbt-duckdb.")
            for key in ("attach", "extensions", "plugins", "filesystems", "secrets"):
                if output.get(key):
                    reason = f"It needs {key}, and a build reads only what was loaded."
                    fix = "Load that data as a source (docs/sources.md), and remove the entry."
                    raise Refused(place, reason, fix)


def _check_packages(project: Project) -> None:
    """Refuse packages that dbt would download."""
    for name in ("packages.yml", "dependencies.yml"):
        path = project.folder / name
        if not path.exists():
            continue
        wanted = len(_yaml(path).get("packages") or [])
        folders = [
            one for one in _packages(project).glob("*") if (one / "dbt_project.yml").exists()
        ]
        if len(folders) < wanted:
            raise Refused(
                path,
                f"It names {wanted} packages, and {_packages(project)} has {len(folders)}. Nothing"
                " is downloaded here.",
                f"cd {project.folder} && dbt deps",
            )


def _packages(project: Project) -> Path:
    return project.folder / project.content.get("packages-install-path", "dbt_packages")


def _doubled_macros(project: Project, root: Path) -> Iterator[Path]:
    """Yield the files whose macros the platform defines too."""
    own = {name for path in (root / "proto_loc/dbt/macros").glob("*.sql") for name in _macros(path)}
    for folder in project.content.get("macro-paths", ["macros"]):
        for path in sorted((project.folder / folder).rglob("*.sql")):
            names = _macros(path)
            if names and names <= own:
                yield path
            elif names & own:
                reason = (
                    f"It defines {min(names & own)}, which the platform defines, beside others."
                )
                raise Refused(path, reason, "Move the others to a file of their own.")


def _macros(path: Path) -> set[str]:
    text = path.read_text(encoding="utf-8", errors="replace")
    return set(re.findall(r"\{%-?\s*macro\s+(\w+)", text))


def _check_sources(project: Project, manifest: dict) -> None:
    """Refuse a source that nothing loads."""
    seeds = {
        node["name"]: node for node in manifest["nodes"].values() if node["resource_type"] == "seed"
    }
    disabled = {
        node["name"]
        for nodes in manifest["disabled"].values()
        for node in nodes
        if node["resource_type"] == "seed"
    }
    loaded = declared_columns()
    for unique_id, source in sorted(manifest["sources"].items()):
        name = f"{source['source_name']}.{source['name']}"
        place = project.folder / source["original_file_path"]
        meta = {**source.get("meta", {}), **source["config"].get("meta", {})}
        if source["config"].get("external_location") or meta.get("external_location"):
            reason = f"The source {name} reads files itself (external_location)."
            fix = f"./loc source add {source['source_name']} --csv FILES loads them."
            raise Refused(place, reason, fix)
        table = f"{source['schema']}.{source['identifier']}"
        if source["database"] == "raw" and (table in loaded or source["schema"] == "main"):
            continue
        users = sorted(
            node["original_file_path"]
            for node in manifest["nodes"].values()
            if unique_id in node["depends_on"].get("nodes", ())
        )
        if not users:
            continue
        reason = f"Nothing loads the source {name}, which {users[0]} reads."
        fix = "Load it as a source (docs/sources.md), or make it a seed."
        if source["identifier"] in seeds:
            reason = f"The source {name} is a seed, so that dbt would not know what to build first."
            fix = f"In {users[0]}, write {{{{ ref('{source['identifier']}') }}}}."
        elif source["identifier"] in disabled:
            reason = f"The source {name} is a seed that is disabled."
            fix = f"Enable it in dbt_project.yml, and read it with ref() in {users[0]}."
        raise Refused(place, reason, fix)


def _settings(project: Project) -> dict:
    """The content of dbt_project.yml in the fork."""
    content = {key: value for key, value in project.content.items() if key not in DROPPED}
    name = project.name
    starts = content.get("on-run-start") or []
    starts = [starts] if isinstance(starts, str) else starts
    models = _with_schemas(content.get("models"), name, "marts")
    for folder in (place for place in STAGED if _has_models(project, place)):
        models[name][folder] = {"+schema": "staging"} | _own(models[name].get(folder))
    platform = {"model-paths": "../proto_loc/dbt/models", "macro-paths": "../proto_loc/dbt/macros"}
    return content | {
        "name": name,
        "profile": "proto_loc",
        **{key: project.content[key] for key in PATHS if key in project.content},
        **{key: [*project.content.get(key, [PATHS[key]]), path] for key, path in platform.items()},
        "packages-install-path": PACKAGES,
        "flags": {**(content.get("flags") or {}), "send_anonymous_usage_stats": False},
        "on-run-start": ["{{ require_session() }}", *starts],
        "models": models,
        "seeds": _with_schemas(content.get("seeds"), name, "staging"),
        "snapshots": _with_schemas(content.get("snapshots"), name, "snapshots"),
    }


def _has_models(project: Project, folder: str) -> bool:
    """Whether there is such a folder of models."""
    paths = project.content.get("model-paths", ["models"])
    return any((project.folder / path / folder).is_dir() for path in paths)


def _with_schemas(entries: dict | None, name: str, schema: str) -> dict:
    """Give a section of configuration a schema, where the project has none, or has ``raw``."""
    section = _renamed(entries or {})
    own = section.get(name) or {}
    decided = {"schema", "+schema"} & (section.keys() | own.keys())
    return section | {name: own if decided else {"+schema": schema} | own}


def _own(entries: dict | None) -> dict:
    entries = entries or {}
    return {("+schema" if key == "schema" else key): value for key, value in entries.items()}


def _renamed(entries: dict) -> dict:
    """Replace the schema ``raw``, which is the name of the catalogue of what was loaded."""
    return {
        key: "staging"
        if key in ("schema", "+schema") and value == "raw"
        else _renamed(value)
        if isinstance(value, dict)
        else value
        for key, value in entries.items()
    }


def _yaml(path: Path) -> dict:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Refused(path, f"It cannot be read: {error}.", "Mend it.") from error
    if not isinstance(content, dict):
        raise Refused(path, "It is no mapping of names to values.", "Mend it.")
    return content
