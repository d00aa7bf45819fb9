"""Runs a Nix with settings and a store that belong to the tests."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

CONFIG = """
experimental-features = nix-command flakes
build-users-group =
sandbox = false
substituters =
flake-registry =
warn-dirty = false
"""

LOOPBACK = (
    *("unshare", "--map-root-user", "--net", sys.executable, "-c"),
    "import fcntl, os, socket, struct, sys\n"
    "up = struct.pack('16sh14x', b'lo', 1)\n"
    "fcntl.ioctl(socket.socket(), 0x8914, up)  # SIOCSIFFLAGS, IFF_UP\n"
    "os.execvp(sys.argv[1], sys.argv[1:])",
)
"""Runs a program in a network that consists of 127.0.0.1."""


def runner(
    home: Path, program: str | Path, more: str = ""
) -> Callable[..., subprocess.CompletedProcess]:
    """Return a function that runs this Nix in a folder, with a store of its own in ``home``.

    The test fails if Nix fails, or with ``fails``, if Nix does not fail. With ``loopback``, Nix and
    its builders have no other network.

    Args:
        more: lines of nix.conf.
    """
    own = {
        f"NIX_{name}_DIR": f"{home}/{name.lower()}" for name in ("STORE", "STATE", "LOG", "CONF")
    }
    own |= {"NIX_CONFIG": CONFIG + more, "XDG_CACHE_HOME": f"{home}/cache"}
    own["UV_CACHE_DIR"] = os.environ.get("UV_CACHE_DIR") or str(Path.home() / ".cache/uv")

    def run(
        *arguments: str, cwd: Path, fails: bool = False, loopback: bool = False, **env: str
    ) -> subprocess.CompletedProcess:
        outside = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("LOC_", "NIX_"))
        }
        done = subprocess.run(
            [*(LOOPBACK if loopback else ()), program, *arguments],
            cwd=cwd,
            env=outside | own | env,
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done

    run.environment, run.program = own, program
    return run


def add(run: Callable[..., subprocess.CompletedProcess], *archives: Path) -> None:
    """Put archives into the store of a runner, as Nix does with what it fetches by a hash."""
    subprocess.run(
        [Path(run.program).with_name("nix-store"), "--add-fixed", "sha256", *archives],
        env=os.environ | run.environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def remove(home: Path) -> None:
    """Remove a store, which is read-only and large."""
    subprocess.run(["chmod", "-R", "u+w", home], check=True)
    shutil.rmtree(home)
