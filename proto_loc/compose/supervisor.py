"""Who runs the processes: process-compose from PATH, else its pinned release, else
``proto_loc.compose``.
"""

import hashlib
import os
import platform
import shutil
import subprocess
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
from proto_loc.standins.process_compose import model

RELEASES = "https://github.com/F1bonacc1/process-compose/releases/download"
CHOICES = ("path", "release", "runner")


@dataclass(frozen=True)
class Supervisor:
    """A program that runs a project, and why it is that one."""

    name: str
    program: Path | None
    """process-compose; None for the runner."""
    why: str

    def command(self, file: Path, names: tuple[str, ...] = ()) -> list[str]:
        """The command that runs ``file``, or these of its processes with what they depend
        on, in the foreground.
        """
        if self.program:
            return [str(self.program), "up", *names, "--config", str(file)]
        socket = str(settings().socket(SOCKET))
        return [sys.executable, "-P", "-m", "proto_loc.compose", str(file), socket, *names]


def environment() -> dict[str, str]:
    """What a supervisor gets: our environment, and where its socket, its token and its own log are.

    ``.pc_env`` says the same to a process-compose that is started by hand. ``.env`` is in our
    environment already, and process-compose would let it win.
    """
    run = private_folder(settings().run)
    private_folder(run / "logs")
    credentials.secret(TOKEN)
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PC_", MARK))}
    return env | {
        "LOC_RUN": str(
            run
        ),  # absolute, with what follows: a supervisor runs in the repository's root
        "LOC_DATA": str(settings().data),
        "LOC_COMPOSE_FILE": str(model.file()),
        "PC_SOCKET_PATH": str(settings().socket(SOCKET)),
        "PC_API_TOKEN_PATH": str(credentials.path(TOKEN)),
        "PC_LOG_FILE": str(run / "logs/process-compose.log"),
        "PC_DISABLE_DOTENV": "1",
        "PROC_COMP_CONFIG": str(
            run / "process-compose"
        ),  # where it finds none, it prints a line of debugging
        "PYTHONPATH": str(ROOT),
    }


def choose(releases: str = RELEASES) -> Supervisor:
    """The supervisor that is to be had here, or the one that ``LOC_COMPOSE`` names.

    Raises:
        UsageError: LOC_COMPOSE is none of the choices.
        LocError: the one that it names cannot be had, or a download is not the pinned one.
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
                    "process-compose cannot be had as LOC_COMPOSE asks.",
                    f"{why}.",
                    "Mend that, or unset LOC_COMPOSE.",
                )
    return Supervisor("proto_loc.compose", None, "; ".join(reasons))


def on_path() -> tuple[Path | None, str]:
    """The process-compose of PATH if it is new enough, and why it is that one or none."""
    program, minimum = (
        shutil.which("process-compose"),
        golden()["tools"]["process-compose"]["minimum"],
    )
    if not program:
        return None, "no process-compose on PATH"
    version = _version(Path(program))
    if number(version) < number(minimum):
        return None, f"{program} is of version {version or 'unknown'}, older than {minimum}"
    return Path(program), f"from PATH, {program}"


def _version(program: Path) -> str:
    try:
        done = subprocess.run(
            [program, "version", "--short"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip().removeprefix("v")


def number(version: str) -> tuple[int, ...]:
    """A version as what compares; one that is none is older than all."""
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
    except (
        httpx.HTTPError,
        httpx.InvalidURL,
        OSError,
        ImportError,
        ValueError,
    ) as error:  # the last: of a proxy
        return (
            None,
            (
                f"release {version} cannot be fetched from {httpx.URL(url).host}"
                f" ({str(error) or type(error).__name__})"
            ),
        )
    return (
        program,
        f"the pinned release, fetched from {httpx.URL(url).host} and checked by its SHA-256",
    )


def fetch(url: str, sha256: str, program: Path) -> None:
    """Download a release, check it, and put its ``process-compose`` at ``program``; no other file
    of it is unpacked.

    Raises:
        LocError: it is not what its checksum says, or has no such program; nothing was unpacked.
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
            names = [
                member.name
                for member in packed
                if member.isreg() and member.name == "process-compose"
            ]
            if not names:
                raise LocError(
                    f"{url} holds no program process-compose.", "", "LOC_COMPOSE=runner ./loc up"
                )
            with packed.extractfile(names[0]) as source, new.open("wb") as target:
                shutil.copyfileobj(source, target)
        new.chmod(0o755)
        new.replace(program)
