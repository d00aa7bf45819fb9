"""Reads ``golden.toml``, and installs the Python environments under ``.venvs/``."""

import os
import subprocess
import tomllib
from pathlib import Path

from proto_loc.errors import LocError, UsageError
from proto_loc.settings import ROOT, settings


def golden() -> dict:
    """Read ``golden.toml``."""
    return tomllib.loads((ROOT / "golden.toml").read_text())


def names() -> list[str]:
    """The names of the environments, ``platform`` first."""
    return list(golden()["environments"])


def optional() -> list[str]:
    """The names of the environments that only some clones need."""
    return [
        name
        for name, entry in golden()["environments"].items()
        if "only-for" in entry or "engine" in entry
    ]


def needed() -> list[str]:
    """The names of the environments that this clone needs, ``platform`` first.

    An environment with ``only-for`` in ``golden.toml`` is needed if a source imports that module,
    one with ``engine`` if ``LOC_ENGINE`` names it.
    """
    engine = settings().engine
    return [
        name
        for name, environment in golden()["environments"].items()
        if ("only-for" not in environment or _is_imported(environment["only-for"]))
        and environment.get("engine", engine) == engine
    ]


def _is_imported(module: str) -> bool:
    """Whether the code of a source names a module; it is read as text, and not run."""
    files = (ROOT / "pipelines").glob("*/**/*.py")
    return any(module in file.read_text(errors="replace") for file in files)


def remedy() -> tuple[str, str]:
    """Why nothing is installed beside finished environments, and what to do if one is wrong."""
    link = ROOT / ".environments"  # which the launcher takes by itself
    if os.environ.get("LOC_ENVIRONMENTS") != str(link):
        return (
            "LOC_ENVIRONMENTS is set, so nothing is installed.",
            "Set it to a folder from these locks, which nix build .#environments makes. Or unset"
            " LOC_ENVIRONMENTS.",
        )
    why = "The environments here are those of Nix, so nothing is installed."
    if (ROOT / ".source.json").exists() and not (ROOT / ".git").exists():
        return why, (
            "Start 'nix run' or the container again: it brings the environments of its version. If"
            " you have changed locks/, put its own files back: only a clone installs."
        )
    return why, f"Let set-up install from the locks: ./loc down; rm '{link}'"


def sync(*environments: str) -> None:
    """Install each ``.venvs/NAME`` from ``locks/NAME.txt``, unless it is up to date.

    Raises:
        UsageError: there is no such environment.
        LocError: the installation failed; the launcher has printed the reason.
    """
    if unknown := sorted(set(environments) - set(names())):
        raise UsageError(
            f"There is no environment {unknown[0]!r}.", "", f"Choose from: {', '.join(names())}."
        )
    if subprocess.run([ROOT / "loc", "--sync", *environments], stdin=subprocess.DEVNULL).returncode:
        raise LocError(
            "Set-up did not finish.",
            "The lines above say what failed.",
            "Mend that and start again.",
        )


def uv(*arguments: str | Path, stdin: str = "") -> str:
    """Run the golden uv in the root of the repository, and return its output.

    Raises:
        LocError: uv failed; the reason is its own message.
    """
    command = [ROOT / "loc", "--uv", *arguments]
    done = subprocess.run(command, cwd=ROOT, input=stdin, capture_output=True, text=True)
    if done.returncode:
        what = " ".join(map(str, arguments[:2]))
        raise LocError(f"uv {what} failed.", done.stderr.strip(), "Mend what uv names above.")
    return done.stdout
