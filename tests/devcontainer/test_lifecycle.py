"""The hooks of devcontainer.json give a healthy stack in a clean Debian, without root.

This Debian has no Nix, so the hooks use the packages of registries, and print this. The job
*devcontainer* of ci.yml tests the hooks with Nix.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hooks import HOOKS, PREBUILT, config

from proto_loc.settings import PORTS, ROOT

PACKAGES = "ca-certificates,git,python3,python3-pip,python3-venv"
REACH = ("INDEX", "PROXY", "CERT", "TRUSTED", "MIRROR")
"""Parts of the names of variables that say how to reach package registries."""
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
HOME = "home/vscode"
CLONE = f"{HOME}/proto_loc"
UID = 1000
SBIN = f"{os.environ['PATH']}:/usr/sbin:/sbin"

# The files are in a file system of their own: to delete its image is quick, and to delete 140,000
# files takes a minute and a half. When the first process of the namespace ends, the kernel ends all
# others. When the last one ends, the kernel removes the mounts.
HOLD = """
mount --make-rprivate /
mount -o loop "$0/image" "$0/root"
echo up
exec sleep 3600
"""


class Machine:
    """A clean Debian in a folder. It shares only the network of this machine."""

    def __init__(self, folder: Path, first: int, prefix: str) -> None:
        self.first = first
        self.processes = (
            "nsenter",
            "--target",
            str(first),
            "--pid",
        )  # put before a command that runs in the namespace
        self.mounted = folder / "root"
        self.root = Path(f"/proc/{first}/root{self.mounted}")  # the same folder, seen from outside
        reach = {
            name: value
            for name, value in os.environ.items()
            if any(word in name.upper() for word in REACH)
        }
        certificates = {
            name: str(CERTIFICATES)
            for name in reach
            if name.endswith(("SSL_CERT_FILE", "PIP_CERT"))
        }
        self.env = (
            reach
            | certificates
            | {
                "HOME": f"/{HOME}",
                "USER": "vscode",
                "PATH": "/usr/bin:/bin",
                "LANG": "C.UTF-8",
                "LOC_PORT_PREFIX": prefix,
            }
        )

    def within(self, *command: str | Path, **more) -> subprocess.CompletedProcess:
        """Run a command of this machine as root, with the file system of the clean Debian."""
        return subprocess.run(["nsenter", "--target", str(self.first), "--mount", *command], **more)

    def run(self, command: str) -> subprocess.CompletedProcess:
        """Run a shell command in the clone, as the user.

        The processes that it starts continue until the fixture ends them.
        """
        inside = [
            "env",
            "-i",
            *(f"{name}={value}" for name, value in self.env.items()),
            "bash",
            "-c",
        ]
        return self.within(
            *self.processes, "chroot", f"--userspec={UID}:{UID}", self.mounted, *inside,
            f"cd /{CLONE} && {command}",
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=400,
        )  # fmt: skip


@pytest.fixture
def machine(port_prefix) -> Iterator[Machine]:
    """A clean Debian with a clone in its user's home folder."""
    if os.geteuid() != 0:
        pytest.skip("a clean root is made by root")
    if missing := [
        name for name in ("mmdebstrap", "mkfs.ext4") if not shutil.which(name, path=SBIN)
    ]:
        pytest.skip(f"{missing[0]} is not installed")
    with tempfile.TemporaryDirectory(prefix="loc-") as folder:
        Path(folder, "root").mkdir()
        subprocess.run(["truncate", "--size=10G", f"{folder}/image"], check=True)
        subprocess.run(
            ["mkfs.ext4", "-q", f"{folder}/image"], check=True, env=os.environ | {"PATH": SBIN}
        )
        hold = [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "bash",
            "-euc",
            HOLD,
            folder,
        ]
        with subprocess.Popen(hold, stdout=subprocess.PIPE, text=True) as held:
            try:
                if held.stdout.readline() != "up\n":
                    pytest.skip("this machine lets root mount nothing")
                yield debian(
                    Machine(Path(folder), psutil.Process(held.pid).children()[0].pid, port_prefix)
                )
            finally:
                held.kill()  # ends all processes in the namespace too


def debian(machine: Machine) -> Machine:
    """Install Debian, create its user, and copy the files that git does not ignore."""
    install = [
        "mmdebstrap",
        "--quiet",
        "--mode=root",
        "--variant=minbase",
        f"--include={PACKAGES}",
        "bookworm",
    ]
    made = machine.within(*install, machine.mounted, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    machine.within(
        *machine.processes, "mount", "-t", "proc", "proc", machine.mounted / "proc", check=True
    )
    machine.within("mount", "--rbind", "/dev", machine.mounted / "dev", check=True)
    machine.within(
        "chroot",
        machine.mounted,
        "useradd",
        "--create-home",
        "--uid",
        str(UID),
        "vscode",
        check=True,
    )
    for name in ("/etc/resolv.conf", "/etc/hosts", CERTIFICATES):
        if Path(name).exists():
            shutil.copy(name, machine.root / str(name).lstrip("/"))
    tracked = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in filter(None, subprocess.check_output(tracked, cwd=ROOT, text=True).split("\0")):
        (machine.root / CLONE / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, machine.root / CLONE / name)
    machine.within("chown", "-R", f"{UID}:{UID}", machine.mounted / CLONE, check=True)
    return machine


@pytest.mark.timeout(900)
@pytest.mark.slow
def test_the_hooks_lead_a_clean_debian_to_a_healthy_stack(machine: Machine):
    said = {}
    for hook in (name for name in HOOKS if name in config()):
        done = machine.run(config()[hook])
        assert done.returncode == 0, f"{hook}\n{done.stdout}\n{done.stderr}"
        assert done.stdout.startswith(
            "devcontainer: no Nix here: tools from this machine and the registries"
        )
        said[hook] = done.stdout
        if hook in PREBUILT:
            assert not (machine.root / CLONE / ".run/secrets").exists(), (
                "each codespace of a prebuild would share them"
            )
            assert not (machine.root / CLONE / "data").exists()
    assert (
        f"http://127.0.0.1:{machine.env['LOC_PORT_PREFIX']}{PORTS['dagster']}/?token="
        in said["postAttachCommand"]
    )

    states = json.loads(machine.run("./loc status --json").stdout)["services"]
    assert {state["verdict"] for state in states} == {"ready", "done"}, states
    rows = machine.run(
        "./loc db shell -c 'select count(*) > 100000 as filled from marts.fct_taxi_trips'"
    ).stdout
    assert re.search(r"\btrue\b", rows), rows
    again = machine.run(config()["postStartCommand"])
    assert again.returncode == 0 and "is up already" in again.stdout, again.stdout + again.stderr
    assert machine.run("./loc down").returncode == 0
    strangers = [path for path in (machine.root / HOME).rglob("*") if path.lstat().st_uid != UID]
    assert strangers == []
