"""The environments under ``.venvs/``, and ``golden.toml``, which decides what is in them."""

import subprocess
import tomllib
from pathlib import Path

from proto_loc.errors import LocError, UsageError
from proto_loc.settings import ROOT


def golden() -> dict:
    """``golden.toml`` as it stands."""
    return tomllib.loads((ROOT / "golden.toml").read_text())


def names() -> list[str]:
    """The names of the environments, ``platform`` first."""
    return list(golden()["environments"])


def sync(*wanted: str) -> None:
    """Make each ``.venvs/NAME`` what ``locks/NAME.txt`` says; no work where it is already so.

    Raises:
        UsageError: there is no such environment.
        LocError: the installation failed; the launcher has said why on stderr.
    """
    if unknown := sorted(set(wanted) - set(names())):
        raise UsageError(
            f"There is no environment {unknown[0]!r}.", "", f"Choose from: {', '.join(names())}."
        )
    if subprocess.run([ROOT / "loc", "--sync", *wanted], stdin=subprocess.DEVNULL).returncode:
        raise LocError(
            "Set-up did not finish.",
            "The lines above say what failed.",
            "Mend that and start again.",
        )


def uv(*arguments: str | Path, given: str = "") -> str:
    """Run the golden uv in the repository's root with ``given`` as its input; gives its output.

    Raises:
        LocError: uv failed; its own words are in the reason.
    """
    command = [ROOT / "loc", "--uv", *arguments]
    done = subprocess.run(command, cwd=ROOT, input=given, capture_output=True, text=True)
    if done.returncode:
        what = " ".join(map(str, arguments[:2]))
        raise LocError(f"uv {what} failed.", done.stderr.strip(), "Mend what uv names above.")
    return done.stdout
