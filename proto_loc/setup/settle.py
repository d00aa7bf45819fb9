"""Gives an installed environment the same bytes each time, whatever the order of its wheels.

Several wheels may ship a file of the same name with other content, and the one that is installed
last wins. ``golden.toml`` names, for each such file, the wheel that it comes from; a file that it
does not name is an error. Runs before the packages of the platform can be imported::

    python -I settle.py SITE_PACKAGES [--compile | --compile-changed] [--uv UV --lock LOCK]
        [WHEEL_OR_FOLDER ...]

The content of a file that another wheel overwrote comes from a wheel, from a folder that a wheel
was unpacked into, or from what uv installs from the lock. Nothing is written in place: the files
of an environment may be links to those of a cache.
"""

import argparse
import base64
import compileall
import csv
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from py_compile import PycInvalidationMode

GOLDEN = Path(__file__).resolve().parents[2] / "golden.toml"
TABLE = "shared-files"


class Unsettled(Exception):
    """What failed, why, and what to do next."""


@dataclass(frozen=True)
class Owner:
    """A wheel that ships a file."""

    package: str
    digest: str
    """``sha256=…``, as RECORD has it."""


def normalized(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


def digest(content: bytes) -> str:
    encoded = base64.urlsafe_b64encode(hashlib.sha256(content).digest())
    return f"sha256={encoded.rstrip(b'=').decode()}"


def owners(site: Path) -> dict[str, list[Owner]]:
    """The wheels that ship each file, by its path below site-packages."""
    owners_by_path: dict[str, list[Owner]] = defaultdict(list)
    for record in sorted(site.glob("*.dist-info/RECORD")):
        package = normalized(record.parent.name.partition("-")[0])
        with record.open(encoding="utf-8", newline="") as rows:
            for path, checksum, _ in csv.reader(rows):
                owners_by_path[os.path.normpath(path)].append(Owner(package, checksum))
    return owners_by_path


def conflicts(site: Path) -> dict[str, list[Owner]]:
    """The files that several wheels ship with different content, with these wheels."""
    return {
        path: wheels
        for path, wheels in sorted(owners(site).items())
        if len({wheel.digest for wheel in wheels}) > 1
    }


def decided(site: Path, table: dict[str, str]) -> dict[str, Owner]:
    """The wheel that each conflicting file comes from.

    Raises:
        Unsettled: the table does not name a file, or names a wheel that does not ship it.
    """
    result: dict[str, Owner] = {}
    for path, wheels in conflicts(site).items():
        names = ", ".join(wheel.package for wheel in wheels)
        by_name = {wheel.package: wheel for wheel in wheels}
        if path not in table:
            raise Unsettled(
                f"Several wheels ship {path}, with different content: {names}.",
                f"[{TABLE}] in golden.toml does not say which one counts.",
                f'Add a line to [{TABLE}], for example: "{path}" = "{wheels[0].package}"',
            )
        if normalized(table[path]) not in by_name:
            raise Unsettled(
                f"{table[path]} does not ship {path}; these wheels do: {names}.",
                f"[{TABLE}] in golden.toml names it for this file.",
                f"Name one of these wheels in that line of [{TABLE}].",
            )
        result[path] = by_name[normalized(table[path])]
    return result


def misplaced(site: Path, table: dict[str, str]) -> dict[str, Owner]:
    """The conflicting files that are not from the wheel that the table names, with that wheel.

    Raises:
        Unsettled: the table does not name a file, or names a wheel that does not ship it.
    """
    return {
        path: owner
        for path, owner in decided(site, table).items()
        if digest((site / path).read_bytes()) != owner.digest
    }


def content(path: str, owner: Owner, sources: list[Path]) -> bytes | None:
    """The content that a wheel has for a file; None if no source has it."""
    for source in sources:
        if source.is_dir():
            found = source / path
            candidate = found.read_bytes() if found.is_file() else None
        elif normalized(source.name.partition("-")[0]) == owner.package:
            with zipfile.ZipFile(source) as wheel:
                candidate = wheel.read(path) if path in wheel.namelist() else None
        else:
            continue
        if candidate is not None and digest(candidate) == owner.digest:
            return candidate
    return None


def unpack(uv: str, lock: Path, package: str, folder: Path) -> Path:
    """Install one package of a lock into a folder of its own, and return that folder.

    Raises:
        Unsettled: uv failed.
    """
    entry = re.compile(rf"^{re.escape(package)}(\[.*?\])?==.*\n(?:[ #].*\n)*", re.MULTILINE)
    lines = "".join(match[0] for match in entry.finditer(lock.read_text()))
    target = folder / package
    done = subprocess.run(
        [
            *(uv, "pip", "install", "--quiet", "--no-deps", "--require-hashes"),
            *("--python", sys.executable, "--target", target, "--requirements", "-"),
        ],
        input=lines,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise Unsettled(
            f"Cannot unpack {package} of {lock}.", done.stderr.strip(), "Mend what uv names above."
        )
    return target


def replace(path: Path, content: bytes) -> None:
    """Replace a file, which may be a link to a file of uv's cache."""
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(content)
    new.chmod(path.stat().st_mode)
    os.replace(new, path)


def settle(
    site: Path, table: dict[str, str], sources: list[Path], uv: str = "", lock: Path | None = None
) -> list[Path]:
    """Replace each conflicting file that is not from the wheel that the table names.

    Returns:
        The files that were replaced.

    Raises:
        Unsettled: the table is not complete, or the content of a wheel cannot be had.
    """
    changed = []
    with tempfile.TemporaryDirectory() as folder:
        for path, owner in misplaced(site, table).items():
            text = content(path, owner, sources)
            if text is None and uv and lock:
                sources = [*sources, unpack(uv, lock, owner.package, Path(folder))]
                text = content(path, owner, sources)
            if text is None:
                raise Unsettled(
                    f"{path} is not the one of {owner.package}.",
                    f"Another wheel was installed later, and no wheel of {owner.package} was given"
                    " whose file can take its place.",
                    f"Give the wheel of {owner.package} after the folder of the environment.",
                )
            replace(site / path, text)
            changed.append(site / path)
    return changed


def compile_all(site: Path, changed: list[Path] | None = None) -> None:
    """Compile every module; the result has neither a time nor the place of the environment.

    Args:
        changed: compile only those of these files that are modules.
    """
    options = {
        "quiet": 2,
        "force": True,  # a module that Python's start imports has one already, with a time
        "stripdir": site,
        "invalidation_mode": PycInvalidationMode.CHECKED_HASH,
    }
    if changed is None:
        compileall.compile_dir(site, workers=0, **options)
    for path in changed or []:
        compileall.compile_file(path, **options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("site", type=Path, metavar="SITE_PACKAGES")
    parser.add_argument("sources", type=Path, nargs="*", metavar="WHEEL_OR_FOLDER")
    parser.add_argument("--golden", type=Path, default=GOLDEN, help="golden.toml")
    parser.add_argument("--compile", action="store_true", help="compile every module")
    parser.add_argument(
        "--compile-changed", action="store_true", help="compile the modules that are replaced"
    )
    parser.add_argument("--uv", help="the uv that unpacks a wheel of the lock")
    parser.add_argument("--lock", type=Path, help="the lock of the environment")
    options = parser.parse_intermixed_args()
    table = tomllib.loads(options.golden.read_text()).get(TABLE, {})
    try:
        changed = settle(options.site, table, options.sources, options.uv, options.lock)
    except Unsettled as error:
        sys.exit("error: {}\nwhy: {}\nfix: {}".format(*error.args))
    if options.compile:
        compile_all(options.site)
    elif options.compile_changed:
        compile_all(options.site, changed)


if __name__ == "__main__":
    main()
