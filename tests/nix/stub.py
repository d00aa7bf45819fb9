"""Makes a stand-in for nixpkgs: ``--override-input nixpkgs path:FOLDER``.

The real Nix evaluates, builds and enters our flake with it, without a network. Programs of nixpkgs
are links to those of this machine; one that is missing here fails when it is run.
"""

import json
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
COREUTILS = (
    "[ basename cat chmod cksum comm cp cut date dd df dirname du env expr false head id install "
    "join link ln ls md5sum mkdir mkfifo mktemp mv nice nl nohup nproc od paste pr printenv "
    "printf pwd readlink realpath rm rmdir seq sha256sum sleep sort split stat stdbuf stty "
    "sum sync tac tail tee test timeout touch tr true truncate tsort tty uname uniq wc whoami yes"
)
STDENV = (
    f"{COREUTILS} awk bash bunzip2 bzip2 cmp diff diff3 egrep fgrep file find gawk grep gunzip "
    "gzip make patch sdiff sed sh tar unxz xargs xz zcat"
)
"""The programs that the standard environment of nixpkgs has on PATH; flock and perl are not."""
PROGRAMS = {
    "python311": {name: f"{sys.base_prefix}/bin/python3.11" for name in ("python3.11", "python3")},
    "python3": {"python3": f"{sys.base_prefix}/bin/python3.11"},
    "git": {"git": "git"},
    "jdk25_headless": {"java": "java"},
    "bash": {"bash": "bash", "sh": "sh"},
    "bashInteractive": {"bash": "bash"},  # `nix develop` needs it
    "bubblewrap": {"bwrap": "bwrap"},
    "coreutils": {name: name for name in COREUTILS.split()},
    "flock": {"flock": "flock"},
    "gnugrep": {"grep": "grep"},
    "gnused": {"sed": "sed"},
    "patchelf": {"patchelf": "patchelf"},
    "ps": {"ps": "ps"},
    "direnv": {"direnv": "direnv"},
    "nixfmt": {"nixfmt": "nixfmt"},
    "deadnix": {"deadnix": "deadnix"},
    "nixfmt-tree": {"treefmt": "nixfmt"},
}


def nixpkgs(
    folder: Path,
    *,
    refused: tuple[str, ...] = (),
    removed: tuple[str, ...] = (),
    programs: dict[str, Path] | None = None,
) -> list[str]:
    """Write a stand-in into ``folder``; return Nix's arguments to use it.

    Args:
        folder: a new folder.
        refused: systems for which this nixpkgs throws, as 26.11 does for ``x86_64-darwin``.
        removed: packages that throw, as ``python311`` does in 27.05.
        programs: programs to use in place of this machine's, by name.
    """
    shutil.copytree(HERE / "nixpkgs", folder, dirs_exist_ok=True)
    absent = folder / "absent"
    absent.write_text("#!/bin/sh\nexit 127\n")
    absent.chmod(0o755)
    overrides = {name: str(path) for name, path in (programs or {}).items()}

    def package(commands: dict[str, str]) -> dict:
        paths = {
            name: overrides.get(name) or shutil.which(command) or str(absent)
            for name, command in commands.items()
        }
        return {"version": "1.0", "main": next(iter(commands)), "programs": paths}

    host = {
        "bash": shutil.which("bash"),
        "path": "/usr/bin:/bin",
        "shellcheck": shutil.which("shellcheck") or "true",
        "loader": _loader(),
        "refused": refused,
        "removed": removed,
        "stdenv": package({name: name for name in STDENV.split() if shutil.which(name)}),
        "tools": {name: package(commands) for name, commands in PROGRAMS.items()},
        "libraries": {
            "gcc": _libraries("libstdc++.so.6", "libgcc_s.so.1"),
            "zlib": _libraries("libz.so.1"),
        },
    }
    (folder / "host.json").write_text(json.dumps(host, indent=2))
    return ["--override-input", "nixpkgs", f"path:{folder}"]


def _loader() -> str:
    machine = platform.machine()
    return {"x86_64": "/lib64/ld-linux-x86-64.so.2", "aarch64": "/lib/ld-linux-aarch64.so.1"}.get(
        machine, ""
    )


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
