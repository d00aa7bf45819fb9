"""Takes the demonstration away: its files, its loads, and its tables."""

import re
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import tomlkit

from proto_loc import fork_file, warehouse
from proto_loc.dbt import histories, publish
from proto_loc.errors import UsageError
from proto_loc.fork import demonstration, trial
from proto_loc.fork.demonstration import Demonstration
from proto_loc.fork.repository import Repository
from proto_loc.refresh.job import load_and_refresh
from proto_loc.settings import ROOT, settings
from proto_loc.sources import declared_columns, find_sources
from proto_loc.warehouse import lake

STARTER = Path(__file__).parent / "starter"
"""Files of a fork without content: a notebook and a dashboard that say what to do first."""
TOOLS = ("superset/bundle/", "cube/model/")
"""Folders of files that refer to each other, and that dbt does not check."""
_UUID = re.compile(r"^uuid: *['\"]?([\w-]+)", re.MULTILINE)
_CUBE = re.compile(r"^ {0,2}- name: *['\"]?(\w+)", re.MULTILINE)
"""The name of a cube or view; those of its members are indented further."""
_WORD = re.compile(r"[\w-]+")


@dataclass(frozen=True)
class Plan:
    """What a removal takes away."""

    places: Demonstration
    base: str
    """How the platform's commit is known with which the files were compared."""
    files: tuple[str, ...]
    """Files as they came with the platform."""
    changed: tuple[str, ...]
    """Files that came with the platform and differ now."""
    own: tuple[str, ...]
    """Files in the same places that did not come with the platform; they stay."""
    sources: tuple[str, ...]
    """The names of the sources that go."""
    pushed: tuple[str, ...] = ()
    """Commits on ``origin`` that count as the platform's, and may be the person's, oldest first."""

    def gone(self, keep: Collection[str] = ()) -> list[str]:
        """The files to delete, if these changed ones stay."""
        return [
            name
            for name in (*self.files, *self.changed)
            if name not in keep and name not in self.places.stays
        ]

    def loads(self) -> list[lake.Load]:
        """The active loads of the sources that go."""
        return [load for load in lake.loads() if load.source in self.sources]

    def landing(self) -> list[str]:
        """The files in data/landing/ that a source that goes may have loaded, or will load."""
        landing = settings().landing
        places = [landing, *(landing / source for source in self.sources)]
        return sorted(
            str(path.relative_to(landing))
            for place in places
            for path in place.glob("[!.]*")
            if path.is_file()
        )


def plan(root: Path = ROOT, base: str = "") -> Plan:
    """Compare the demonstration's files with the platform's commit.

    Args:
        base: the name of that commit, if a person says it.

    Raises:
        UsageError: there is no commit to compare with, or demonstration.toml cannot be read.
    """
    repository = Repository(root)
    commit, how = repository.base(base)
    path = root / demonstration.FILE
    places = demonstration.parse(path.read_text() if path.exists() else "")
    came = places.choose(repository.files_of(commit))
    differing = repository.changed_since(commit)
    present = [name for name in came if (root / name).exists() and name not in places.stays]
    present += [
        name
        for name, text in places.stays.items()
        if name in came and name in differing and _differs(root / name, text)
    ]
    listing = ("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    own = set(places.choose(repository.paths(*listing))) - set(came)
    return Plan(
        places,
        how,
        tuple(name for name in present if name not in differing),
        tuple(name for name in present if name in differing),
        tuple(sorted(name for name in own if (root / name).exists())),
        tuple(dict.fromkeys(name.split("/")[1] for name in came if name.startswith("pipelines/"))),
        tuple(repository.strangers(commit, places.covers) if " of origin/" in how else ()),
    )


def _differs(path: Path, text: str) -> bool:
    return path.exists() and path.read_bytes() != text.encode()


def broken(planned: Plan, keep: Sequence[str] = (), *, root: Path = ROOT) -> dict[str, str]:
    """File of Superset or Cube that stays → a file that goes, which it mentions by uuid or name.

    Args:
        keep: files of ``planned.changed`` that stay.
    """
    marks = {}
    for file in (*planned.files, *planned.changed):
        if file not in keep and file.startswith(TOOLS):
            text = (root / file).read_text(errors="replace")
            names = _CUBE if file.startswith("cube/") else _UUID
            marks |= dict.fromkeys(names.findall(text), file)
    mentions = {}
    for file in (*planned.own, *keep):
        if file.startswith(TOOLS):
            words = set(_WORD.findall((root / file).read_text(errors="replace")))
            if mark := next((mark for mark in marks if mark in words), ""):
                mentions[file] = marks[mark]
    return mentions


def remove(planned: Plan, keep: Sequence[str] = (), *, root: Path = ROOT) -> list[str]:
    """Delete the files, and write those that an empty fork has instead; return what was written.

    Args:
        keep: files of ``planned.changed`` that stay.

    Raises:
        BuildFailed: a dbt file that stays reads what would go; nothing was deleted.
    """
    stays = planned.places.stays
    gone = planned.gone(keep)
    if any(name.startswith("dbt/") for name in (*planned.own, *keep)):
        trial.parse_without(gone, root)
    for name in gone:
        (root / name).unlink()
        _remove_empty_folders((root / name).parent, root)
    changed = [name for name in stays if name not in {*keep, *planned.own}]
    for name in changed:
        (root / name).write_text(stays[name])
    return [*changed, *_copy_starter(root)]


def retire(planned: Plan, *, who: str, report: Callable[[str, str, int, int], None]) -> list[str]:
    """Retire the loads of sources that are gone, and publish ``prod`` without their tables.

    Returns:
        The tables that ``prod`` no longer has.

    Raises:
        LocError: another model failed, the lock is held, ...; the published version stays.
    """
    if warehouse.store.current_id("raw") is None:
        return []
    remaining = find_sources()
    loads = [load for load in planned.loads() if load.source not in remaining]
    if loads:
        with lake.loading(declared_columns(), who=who) as loading:
            loading.retire(loads)
    if warehouse.store.current_id("prod") is None or not warehouse.current("prod").tables:
        return []
    before = set(warehouse.current("prod").tables)
    if remaining or any((ROOT / "dbt").glob("models/**/*.sql")):
        forget = histories.declared_in((*planned.files, *planned.changed))
        load_and_refresh(lambda _: [], who=who, report=report, forget=forget)
    else:
        publish.publish_nothing(who=who)
    return sorted(before - set(warehouse.current("prod").tables))


def finish(*, root: Path = ROOT) -> None:
    """Write into fork.toml that the demonstration is gone."""
    write_entries(root / "fork.toml", demonstration=False)


def write_entries(path: Path, **entries: str | bool) -> None:
    """Change entries of fork.toml; comments and other lines stay.

    Raises:
        UsageError: the file cannot be read.
    """
    fork_file.read(path)
    text = path.read_text() if path.exists() else ""
    document = tomlkit.parse(text)
    new = {key: value for key, value in entries.items() if key not in document}
    for key in entries.keys() - new.keys():
        document[key] = entries[key]
    path.write_text(f"{tomlkit.dumps(new)}{tomlkit.dumps(document)}")


def check_present(root: Path = ROOT) -> None:
    """Refuse to remove it twice.

    Raises:
        UsageError: fork.toml says that it is gone.
    """
    if not fork_file.read(root / "fork.toml").demonstration:
        raise UsageError(
            "The demonstration is not here any more.",
            "fork.toml says demonstration = false.",
            "Go on with a source of your own: ./loc source add NAME --csv FILES",
        )


def _copy_starter(root: Path) -> list[str]:
    written = []
    for path in sorted(STARTER.rglob("*")):
        name = path.relative_to(STARTER)
        if path.is_file() and not (root / name).exists():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, root / name)
            written.append(str(name))
    return written


def _remove_empty_folders(folder: Path, root: Path) -> None:
    """Remove a folder and its parents as long as nothing but compiled Python is in them."""
    while folder != root and not any(path.name != "__pycache__" for path in folder.iterdir()):
        shutil.rmtree(folder)
        folder = folder.parent
