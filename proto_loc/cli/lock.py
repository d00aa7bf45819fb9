"""``loc lock``: makes the lock files from ``golden.toml``, or checks that they agree."""

import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer

from proto_loc import files
from proto_loc.errors import LocError, UsageError
from proto_loc.settings import ROOT
from proto_loc.setup import locks, nix_lock, node, tool_lock
from proto_loc.setup.environments import golden

app = typer.Typer()


@app.command(
    rich_help_panel="Set-up",
    epilog=(
        "Examples, after a change in golden.toml: ./loc lock    the newest Dagster: ./loc lock"
        " --upgrade dagster dagster-webserver dagster-dbt"
    ),
)
def lock(
    packages: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME", help="With --upgrade, the packages to upgrade; default all."
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; fail if a lock is out of date.")
    ] = False,
    upgrade: Annotated[
        bool,
        typer.Option(
            "--upgrade", help="First upgrade golden.toml to the newest versions that it allows."
        ),
    ] = False,
) -> None:
    """Make the lock files of Python and npm packages from golden.toml, with all hashes.

    They are locks/*.txt and proto_loc/cube/server/package-lock.json. Locked versions stay, unless
    golden.toml changes them. locks/*.json has the archives that Nix installs of them. An
    environment whose lock changes is installed on trial first: two wheels with a file of the same
    name, or a license that nobody knows, stop it. Nothing is written before all of it is made.

    --check also installs each environment of this clone a second time and compares the bytes, and
    where Nix is, builds each package twice and compares the NAR hashes.
    """
    if (check and upgrade) or (packages and not upgrade):
        raise UsageError(
            "NAME goes with --upgrade, and --check with neither.", "", "See ./loc lock --help."
        )
    known = {
        name: path.read_text() if (path := ROOT / "locks" / f"{name}.txt").exists() else ""
        for name in locks.requirements()
    }
    before = known
    moved: dict[Path, str] = {}
    if upgrade:
        from proto_loc.setup.upgrade import upgrade as move

        moved = move(packages or [], known)
        if packages and not moved:
            return
        if not packages:  # packages that golden.toml does not name are upgraded as well
            known = dict.fromkeys(known, "")
    decided = moved.get(ROOT / "golden.toml")
    packages_by_lock = locks.requirements(tomllib.loads(decided) if decided else None)
    with ThreadPoolExecutor() as pool:
        if check:
            compiled = pool.map(
                lambda name: locks.differences(name, packages_by_lock[name], known[name]),
                packages_by_lock,
            )
            drift = {
                f"locks/{name}.txt": packages
                for name, packages in zip(packages_by_lock, compiled, strict=True)
            }
            if "npm" in golden():
                drift["proto_loc/cube/server/package-lock.json"] = node.differences(
                    *locks.npm_texts()
                )
            drift |= {f"locks/{name}.json": nix_lock.differences(name) for name in nix_lock.names()}
            drift["locks/tools.json"] = tool_lock.differences() if not any(drift.values()) else []
            if any(drift.values()):
                raise LocError(
                    "The locks are not what golden.toml gives.",
                    "; ".join(
                        f"{name}: {', '.join(packages)}"
                        for name, packages in drift.items()
                        if packages
                    ),
                    "Run ./loc lock and commit its result.",
                )
            print(f"{len(drift)} locks agree with golden.toml")
            _compare_installs()
            _compare_builds()
            return
        texts = list(
            pool.map(
                lambda name: locks.compile_lock(name, packages_by_lock[name], known[name]),
                packages_by_lock,
            )
        )
    locked = dict(zip(packages_by_lock, texts, strict=True))
    npm = locks.compile_npm() if "npm" in golden() else ""
    archives = nix_lock.texts(locked)
    tools = tool_lock.text(locked)
    _try(locked, before, moved)
    lines = locks.changes(locked)
    texts_by_path = moved | {ROOT / f"locks/{name}.txt": text for name, text in locked.items()}
    if npm:
        lines.append(locks.npm_change(npm))
        texts_by_path |= locks.npm_files(npm)
    lines += [f"locks/{path.name}: the archives for Nix, changed" for path in archives]
    files.replace_all(texts_by_path | archives | {tool_lock.PATH: tools})  # all, or none
    print(*lines, "locks/tools.json: the wheels of uv and Node for Nix", sep="\n")
    if upgrade:
        print(
            "Run ./loc test to see whether these versions work together. Commit golden.toml, locks/"
            " and docs/ together."
        )


def _try(locked: dict[str, str], before: dict[str, str], moved: dict[Path, str]) -> None:
    """Install each environment whose lock changes, in a copy of the clone.

    Raises:
        LocError: it cannot be installed, wheels share a file that golden.toml does not name, or a
            package has no known license.
    """
    from proto_loc.setup import environments, installs, licenses

    changed = [
        name for name in environments.names() if name in locked and locked[name] != before[name]
    ]
    if not changed:
        return
    texts = {ROOT / "locks" / f"{name}.txt": text for name, text in locked.items()}
    with installs.copy_of_clone(texts | moved) as clone:
        for name in changed:
            licenses.check(installs.install(clone, name))


def _compare_installs() -> None:
    """Print of each environment that two installs agree, and that each license is known."""
    from proto_loc.setup import environments, installs, licenses

    for name in environments.names():
        if installs.is_installed(name):
            same = installs.check(name)
            known = licenses.check(ROOT / ".venvs" / name)
            print(
                f"{name}: two installs have the same bytes ({same.files} files, SHA-256"
                f" {same.digest}); {len(known)} licenses are known"
            )
        else:
            print(f"{name}: is not installed in this clone, and was not compared")
    if "npm" in golden():
        print(f"cube: {licenses.check_npm(locks.npm_texts()[1])} licenses are known")


def _compare_builds() -> None:
    from proto_loc.setup import nix_builds

    packages = nix_builds.packages()
    if not packages:
        print("NAR hashes were not compared: Nix is not on PATH, or this clone has no flake.nix")
    for package in packages:
        try:
            print(f"{package}: two builds have the NAR hash {nix_builds.nar_hash(package)}")
        except nix_builds.CannotBuild as error:
            print(f"{package}: NAR hashes were not compared; nix build .#{package} says: {error}")
