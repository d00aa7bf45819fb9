"""Makes a stand-in for nixpkgs: ``--override-input nixpkgs path:FOLDER``.

The real Nix evaluates, builds and enters our flake with it, without a network. :data:`STOOD_IN`
lists the stand-ins for programs that the machine lacks.
"""

import json
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from proto_loc.settings import ROOT
from proto_loc.setup.environments import golden

HERE = Path(__file__).parent
VERSIONS = {
    "python311": "3.11.9",
    "nodejs_24": "24.1.0",
    "uv": "0.11.25",
    "process-compose": "1.110.0",
}
"""Versions that the stand-in claims; the programs that run are those of this machine."""
GOLDEN_UV = ROOT / f".tools/uv-{golden()['tools']['uv']}"
PROGRAMS = {
    "python311": {
        "python3.11": sys.base_prefix + "/bin/python3.11",
        "python3": sys.base_prefix + "/bin/python3.11",
    },
    "nodejs_24": {"node": "node"},
    "uv": {"uv": "uv"},
    "process-compose": {"process-compose": "process-compose"},
    "git": {"git": "git"},
    "bashInteractive": {"bash": "bash"},  # `nix develop` needs it
    "bubblewrap": {"bwrap": "bwrap"},
    "direnv": {"direnv": "direnv"},
    "nixfmt": {"nixfmt": "nixfmt"},
    "deadnix": {"deadnix": "deadnix"},
    "nixfmt-tree": {"treefmt": "nixfmt"},
}
STOOD_IN = {
    "uv": ("the golden uv, which the launcher has fetched", f'exec "{GOLDEN_UV}" "$@"'),
    "process-compose": (
        "proto_loc.compose, which knows `up` and `version --short` alone",
        'case "$1" in version) echo v1.122.0; exit ;; up) ;; *) exit 2 ;; esac\n'
        f'PYTHONPATH="$PWD" exec "{sys.executable}" -P -m proto_loc.compose '
        '"$PWD/process-compose.yaml" "$PC_SOCKET_PATH"',
    ),
    "nixfmt": ("tests/nix/form.py", f'exec "{sys.executable}" "{HERE}/form.py" nixfmt "$@"'),
    "deadnix": ("tests/nix/form.py", f'exec "{sys.executable}" "{HERE}/form.py" deadnix "$@"'),
    "nixfmt-tree": ("a failure", "exit 127"),
    "nodejs_24": ("a failure", "exit 127"),
    "bubblewrap": ("a failure", "exit 127"),
    "direnv": ("a failure", "exit 127"),
}


def nixpkgs(folder: Path, **versions: str) -> list[str]:
    """Write a stand-in with these versions into ``folder``; return Nix's arguments to use it."""
    shutil.copytree(HERE / "nixpkgs", folder, dirs_exist_ok=True)
    for name, (_, script) in STOOD_IN.items():
        path = folder / "programs" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    told = VERSIONS | {
        name.replace("_compose", "-compose"): version for name, version in versions.items()
    }
    host = {
        "bash": shutil.which("bash"),
        "path": "/usr/bin:/bin",
        "shellcheck": shutil.which("shellcheck") or "true",
        "tools": {name: _tool(name, told.get(name, "1.0"), folder) for name in PROGRAMS},
        "libraries": {
            "gcc": _libraries("libstdc++.so.6", "libgcc_s.so.1"),
            "zlib": _libraries("libz.so.1"),
        },
    }
    (folder / "host.json").write_text(json.dumps(host, indent=2))
    return ["--override-input", "nixpkgs", f"path:{folder}"]


def absent() -> dict[str, str]:
    """Return the programs that this machine lacks, with their stand-ins."""
    return {
        name: STOOD_IN[name][0] for name in PROGRAMS if name in STOOD_IN and _here(name) is None
    }


def _tool(name: str, version: str, folder: Path) -> dict:
    programs = _here(name) or dict.fromkeys(PROGRAMS[name], str(folder / "programs" / name))
    return {"version": version, "main": next(iter(programs)), "programs": programs}


def _here(name: str) -> dict[str, str] | None:
    found = {called: shutil.which(program) for called, program in PROGRAMS[name].items()}
    return found if all(found.values()) else None


def _libraries(*names: str) -> list[str]:
    if sys.platform != "linux":  # on other systems the flake adds no libraries
        return []
    ldconfig = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True).stdout
    machine = {"x86_64": "x86-64", "aarch64": "AArch64"}[platform.machine()]
    found = (
        re.search(rf"^\s+{re.escape(name)} .*{machine}.* => (\S+)$", ldconfig, re.MULTILINE)
        for name in names
    )
    return [match[1] for match in found if match]
