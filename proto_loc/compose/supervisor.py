"""Chooses the process supervisor: process-compose from PATH, its release, or the stand-in."""

import hashlib
import os
import platform
import shutil
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import httpx

from proto_loc import credentials
from proto_loc.compose.client import SOCKET, TOKEN
from proto_loc.errors import LocError, UsageError
from proto_loc.services import MARK
from proto_loc.settings import ROOT, private_folder, settings
from proto_loc.setup.environments import golden
from proto_loc.setup.programs import output
from proto_loc.standins.process_compose import model

RELEASES = "https://github.com/F1bonacc1/process-compose/releases/download"
CHOICES = ("path", "release", "runner")


@dataclass(frozen=True)
class Supervisor:
    """A program that runs the processes, and the reason for the choice."""

    name: str
    program: Path | None
    """The path of process-compose; None for the stand-in."""
    why: str

    def command(self, file: Path, names: tuple[str, ...] = ()) -> list[str]:
        """Return the command that runs all or these processes of ``file`` in the foreground.

        The names are its last words.
        """
        if self.program:
            return [str(self.program), "up", "--config", str(file), *names]
        socket = str(settings().socket(SOCKET))
        return [sys.executable, "-P", "-m", "proto_loc.compose", str(file), socket, *names]


def environment() -> dict[str, str]:
    """Return the environment of a supervisor, with the paths of its socket, token and log.

    If a person starts process-compose, it reads the same variables from ``.pc_env``. It must not
    read ``.env``: this environment already includes that file, which would override it.
    """
    run = private_folder(settings().run)
    private_folder(run / "logs")
    credentials.secret(TOKEN)
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PC_", MARK))}
    return env | {
        # Absolute paths, since a supervisor runs in the root of the repository.
        "LOC_RUN": str(run),
        "LOC_DATA": str(settings().data),
        "LOC_COMPOSE_FILE": str(model.file()),
        "PC_SOCKET_PATH": str(settings().socket(SOCKET)),
        "PC_API_TOKEN_PATH": str(credentials.path(TOKEN)),
        "PC_LOG_FILE": str(run / "logs/process-compose.log"),
        "PC_DISABLE_DOTENV": "1",
        # Without a folder of settings, it prints a debug line.
        "PROC_COMP_CONFIG": str(run / "process-compose"),
        "PYTHONPATH": str(ROOT),
        "LOC_LOG_FIRST": "caller" if settings().log_format == "json" else "time",
    }


def choose(releases: str = RELEASES) -> Supervisor:
    """Choose the supervisor: the one that ``LOC_COMPOSE`` names, else the first available.

    Raises:
        UsageError: LOC_COMPOSE is not one of the choices.
        LocError: the named one is not available, or a download has another checksum.
    """
    asked = os.environ.get("LOC_COMPOSE") or ""
    if asked not in ("", *CHOICES):
        raise UsageError(
            f"LOC_COMPOSE={asked!r} is not usable.", "", f"Choose from: {', '.join(CHOICES)}."
        )
    reasons = [f"LOC_COMPOSE={asked}"] if asked else []
    for choice, find in (("path", on_path), ("release", lambda: _release(releases))):
        if asked in ("", choice):
            program, why = find()
            reasons.append(why)
            if program:
                return Supervisor(
                    f"process-compose {_version(program)}", program, "; ".join(reasons)
                )
            if asked:
                raise LocError(
                    "The process-compose that LOC_COMPOSE names is not available.",
                    f"{why}.",
                    "Mend that, or unset LOC_COMPOSE.",
                )
    return Supervisor("proto_loc.compose", None, "; ".join(reasons))


def on_path() -> tuple[Path | None, str]:
    """Find a new enough process-compose on PATH; return its path or None, and the reason."""
    program = shutil.which("process-compose")
    minimum = golden()["tools"]["process-compose"]["minimum"]
    if not program:
        return None, "no process-compose on PATH"
    version = _version(Path(program))
    if number(version) < number(minimum):
        return None, f"{program} has version {version or 'unknown'}, older than {minimum}"
    return Path(program), f"from PATH, {program}"


def _version(program: Path) -> str:
    return output([program, "version", "--short"]).removeprefix("v")


def number(version: str) -> tuple[int, ...]:
    """Convert a version to a tuple to compare; empty (the oldest) if a part is no number."""
    parts = version.split("-")[0].split(".")
    return tuple(map(int, parts)) if all(part.isdigit() for part in parts) else ()


def _release(releases: str) -> tuple[Path | None, str]:
    pinned = golden()["tools"]["process-compose"]
    version, program = pinned["version"], ROOT / f".tools/process-compose-{pinned['version']}"
    if program.exists():
        return program, f"the pinned release, {program}"
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    system = f"{platform.system().lower()}_{machine}"
    if system not in pinned["sha256"]:
        return None, f"there is no release of it for {system}"
    url = f"{releases}/v{version}/process-compose_{system}.tar.gz"
    try:
        fetch(url, pinned["sha256"][system], program)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ImportError, ValueError) as error:
        # A wrong setting of a proxy raises the last two.
        reason = str(error) or type(error).__name__
        return None, f"release {version} cannot be fetched from {httpx.URL(url).host} ({reason})"
    host = httpx.URL(url).host
    return program, f"the pinned release, fetched from {host} and checked by its SHA-256"


def fetch(url: str, sha256: str, program: Path) -> None:
    """Download a release, compare its checksum, and extract only ``process-compose`` from it.

    Raises:
        LocError: the checksum differs, or the archive has no such program.
        httpx.HTTPError, OSError: it cannot be downloaded or written.
    """
    program.parent.mkdir(parents=True, exist_ok=True)
    timeout = httpx.Timeout(20, connect=3)
    with tempfile.TemporaryDirectory(dir=program.parent, prefix="new.") as folder:
        archive, new = Path(folder, "archive"), Path(folder, "program")
        digest = hashlib.sha256()
        with (
            archive.open("wb") as file,
            httpx.stream("GET", url, timeout=timeout, follow_redirects=True) as answer,
        ):
            for chunk in answer.raise_for_status().iter_bytes():
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != sha256:
            raise LocError(
                f"{url} is not the release that golden.toml pins.",
                f"Its SHA-256 is {digest.hexdigest()}, and golden.toml says {sha256}.",
                "Find out who changed it. LOC_COMPOSE=runner ./loc up does without"
                " process-compose.",
            )
        with tarfile.open(archive) as packed:
            member = next((m for m in packed if m.isreg() and m.name == "process-compose"), None)
            if member is None:
                raise LocError(
                    f"{url} contains no program process-compose.", "", "LOC_COMPOSE=runner ./loc up"
                )
            with packed.extractfile(member) as source, new.open("wb") as target:
                shutil.copyfileobj(source, target)
        new.chmod(0o755)
        new.replace(program)
