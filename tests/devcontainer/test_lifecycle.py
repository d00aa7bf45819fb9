"""The hooks of devcontainer.json in their order, in a clean Debian, as a user who is not root, to a healthy stack.

There is no Nix in that Debian: the hooks take the door of the registries, and say so. The door of the flake needs the
binary cache of nixpkgs; the job *devcontainer* of ci.yml shows it.
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
"""What is in the name of a variable that says how to reach packages."""
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
HOME = "home/vscode"
CLONE = f"{HOME}/proto_loc"
UID = 1000

# The kernel ends all that was started in the namespace with its first process, and undoes the mounts with the last.
ENTER = """
mount --make-rprivate /
mount -t proc proc "$0/proc"
mount --rbind /dev "$0/dev"
exec chroot --userspec="$1" "$0" "${@:2}"
"""


class Machine:
    """A clean Debian below a folder. It shares this machine's network, and nothing else."""

    def __init__(self, root: Path, prefix: str) -> None:
        self.root = root
        reach = {name: value for name, value in os.environ.items() if any(word in name.upper() for word in REACH)}
        certificates = {name: str(CERTIFICATES) for name in reach if name.endswith(("SSL_CERT_FILE", "PIP_CERT"))}
        self.env = reach | certificates | {
            "HOME": f"/{HOME}", "USER": "vscode", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "LOC_PORT_PREFIX": prefix,
        }  # fmt: skip

    def run(self, command: str) -> subprocess.CompletedProcess:
        """A shell command in the clone, as the user. What it leaves running goes on: see :func:`machine`."""
        inside = ["env", "-i", *(f"{name}={value}" for name, value in self.env.items()), "bash", "-c"]
        return subprocess.run(
            ["nsenter", "--target", str(self.first), "--mount", "--pid", "bash", "-c",
             'exec chroot --userspec="$1" "$0" "${@:2}"', self.root, f"{UID}:{UID}",
             *inside, f"cd /{CLONE} && {command}"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=400,
        )  # fmt: skip

    def start(self) -> subprocess.Popen:
        """Start the namespace, whose first process sleeps."""
        held = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-euc", ENTER, self.root, "0:0",
             "sh", "-c", "echo up; exec sleep 3600"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert held.stdout.readline() == "up\n"
        self.first = psutil.Process(held.pid).children()[0].pid
        return held


@pytest.fixture
def machine(port_prefix) -> Iterator[Machine]:
    """A clean Debian with a clone in the home of its user."""
    if os.geteuid() != 0:
        pytest.skip("a clean root is made by root")
    if not shutil.which("mmdebstrap"):
        pytest.skip("mmdebstrap is not installed")
    if subprocess.run(["unshare", "--mount", "--pid", "--fork", "mount", "-t", "tmpfs", "none", "/mnt"]).returncode:
        pytest.skip("this machine allows no namespace of mounts")
    with tempfile.TemporaryDirectory(prefix="loc-") as folder:
        root = Path(folder, "root")
        made = subprocess.run(
            ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", f"--include={PACKAGES}", "bookworm", root],
            capture_output=True, text=True,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        subprocess.run(["chroot", root, "useradd", "--create-home", "--uid", str(UID), "vscode"], check=True)
        for name in ("/etc/resolv.conf", "/etc/hosts", CERTIFICATES):
            if Path(name).exists():
                shutil.copy(name, root / str(name).lstrip("/"))
        names = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        for name in filter(None, subprocess.run(names, cwd=ROOT, capture_output=True, text=True).stdout.split("\0")):
            (root / CLONE / name).parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).exists():
                shutil.copy(ROOT / name, root / CLONE / name)
        subprocess.run(["chown", "-R", f"{UID}:{UID}", root / CLONE], check=True)
        found = Machine(root, port_prefix)
        held = found.start()
        try:
            yield found
        finally:
            held.kill()  # and with it, all in the namespace
            held.wait()


@pytest.mark.timeout(900)
def test_the_hooks_lead_a_clean_debian_to_a_healthy_stack(machine: Machine):
    said = {}
    for hook in (name for name in HOOKS if name in config()):
        done = machine.run(config()[hook])
        assert done.returncode == 0, f"{hook}\n{done.stdout}\n{done.stderr}"
        assert done.stdout.startswith("devcontainer: no Nix here: tools from this machine and the registries")
        said[hook] = done.stdout
        if hook in PREBUILT:
            assert not (machine.root / CLONE / ".run/secrets").exists(), "each codespace of a prebuild would share them"
            assert not (machine.root / CLONE / "data").exists()
    assert f"http://127.0.0.1:{machine.env['LOC_PORT_PREFIX']}{PORTS['dagster']}/?token=" in said["postAttachCommand"]

    states = json.loads(machine.run("./loc status --json").stdout)
    assert {state["verdict"] for state in states} == {"ready", "done"}, states
    rows = machine.run("./loc db shell -c 'select count(*) > 100000 as filled from marts.fct_taxi_trips'").stdout
    assert re.search(r"\btrue\b", rows), rows
    again = machine.run(config()["postStartCommand"])
    assert again.returncode == 0 and "is up already" in again.stdout, again.stdout + again.stderr
    assert machine.run("./loc down").returncode == 0
    strangers = [path for path in (machine.root / HOME).rglob("*") if path.lstat().st_uid != UID]
    assert strangers == []
