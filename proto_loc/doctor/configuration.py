"""Checks of the settings: ``.env``, the environment, and the lines that golden.toml pins."""

import os
import re
import stat
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from proto_loc import dotenv
from proto_loc.doctor.finding import Finding, ok
from proto_loc.doctor.versions import normal, pins
from proto_loc.errors import UsageError
from proto_loc.settings import PORTS, ROOT, guide, settings

FILE = ROOT / ".env"
SECRET = re.compile(r"(?m)^\s*(?:export\s+)?(\w*(?:PASSWORD|SECRET|TOKEN|KEY|DSN|NOTIFY_)\w*)\s*=")
"""A line of ``.env`` whose name says that its value is a secret."""


def env_file() -> Iterator[Finding]:
    """Read the file ``.env`` as each command does."""
    if not FILE.exists():
        yield ok("There is no .env, and none is needed")
        return
    try:
        dotenv.load(FILE)
    except UsageError as error:
        yield Finding(
            "fail",
            error.what,
            error.why,
            error.fix,
            symptom="Every command refuses a line of `.env`",
        )
        return
    mode = stat.S_IMODE(FILE.stat().st_mode)
    names = sorted(set(SECRET.findall(FILE.read_text(encoding="utf-8"))))
    if mode & 0o044 and names:
        yield Finding(
            "warn",
            f"Others can read {FILE}, which holds {', '.join(names)}.",
            f"Its mode is {mode:04o}.",
            f"chmod 600 '{FILE}'",
            symptom="Other users of the machine can read a secret of `.env`",
            repair=lambda: make_private(FILE, 0o600),
        )
    else:
        yield ok(f"{FILE} can be read")


def make_private(path: Path, mode: int) -> str:
    """Set the mode of a path, and say so.

    Raises:
        OSError: it is another user's.
    """
    path.chmod(mode)
    return f"{path} has mode {mode:04o}."


def variables() -> Iterator[Finding]:
    """Read every setting, and look for names that nothing reads."""
    try:
        chosen = settings()
        for service in PORTS:
            chosen.port(service)
    except UsageError as error:
        yield Finding(
            "fail",
            error.what,
            error.why,
            error.fix,
            symptom="Every command refuses a setting",
        )
        return
    known = set(re.findall(r"^\| `(LOC_\w+)`", guide(), re.MULTILINE))
    unknown = {
        name: close[0]
        for name in sorted(os.environ.keys() - known)
        if name.startswith("LOC_") and (close := get_close_matches(name, known, cutoff=0.85))
    }
    for name, meant in unknown.items():
        yield Finding(
            "warn",
            f"{name} is no setting.",
            "Nothing reads it.",
            f"Is {meant} meant? docs/settings.md lists all of them",
            symptom="A setting has no effect",
        )
    if not unknown:
        yield ok("Every setting can be used")


def locks() -> Iterator[Finding]:
    """Compare the locks with the versions that golden.toml names."""
    from proto_loc.setup.locks import requirements  # loads the list of all licenses

    wrong = []
    for name, lines in requirements().items():
        lock = ROOT / f"locks/{name}.txt"
        locked = pins(lock) if lock.exists() else {}
        for package, equals, version in (line.partition("==") for line in lines):
            versions = locked.get(normal(package.partition("[")[0]), set())
            if equals and version not in versions:
                others = " or ".join(sorted(versions)) or "none"
                wrong.append(f"{package} {version} (locks/{name}.txt: {others})")
    if wrong:
        yield Finding(
            "fail",
            f"golden.toml names other versions than the locks: {', '.join(wrong)}.",
            "A version was changed, or a merge brought one, without new locks; set-up installs what"
            " the locks say.",
            "./loc lock; or git checkout golden.toml locks",
            symptom="A version of golden.toml is not the one that is installed",
        )
    else:
        yield ok("The locks have the versions of golden.toml")
