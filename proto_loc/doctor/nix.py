"""Checks of Nix, and of what a Nix shell leaves behind."""

import os
import platform
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from proto_loc.doctor.finding import Finding, ok, output
from proto_loc.settings import ROOT

NEEDED = ("flake.nix", "flake.lock", "golden.toml", "nix")
NIXOS = Path("/etc/NIXOS")
"""There on NixOS alone."""
LOADER = Path("/lib64/ld-linux-x86-64.so.2")
"""Where programs of wheels (ruff, duckdb) look for their dynamic loader on x86-64."""


def libraries() -> Iterator[Finding]:
    if value := os.environ.get("LD_LIBRARY_PATH"):
        yield Finding(
            "warn", f"LD_LIBRARY_PATH={value} is exported.", "Every program of this shell loads libraries from there, "
            "and one that was built for others fails in strange ways.",
            "unset LD_LIBRARY_PATH; for the platform alone there is LOC_LIBRARY_PATH",
        )  # fmt: skip
    else:
        yield ok("LD_LIBRARY_PATH is not exported")
    for folder in filter(None, os.environ.get("LOC_LIBRARY_PATH", "").split(":")):
        if not Path(folder).is_dir():
            yield Finding(
                "fail", f"LOC_LIBRARY_PATH names {folder}.", "There is no such folder: Nix has collected it.",
                "Enter the Nix shell anew.",
            )  # fmt: skip


def loader() -> Iterator[Finding]:
    if not NIXOS.exists() or platform.machine() != "x86_64":
        return
    if LOADER.exists() and "stub-ld" not in str(LOADER.resolve()):
        yield ok(f"{LOADER} is there, so that programs from wheels run")
    else:
        yield Finding(
            "warn", "Programs that come in wheels do not run on this NixOS.", f"They look for {LOADER}. All that the "
            "platform itself needs is Python; `loc db shell` and the tests' linter are such programs.",
            "Set programs.nix-ld.enable = true in this machine's configuration.",
        )  # fmt: skip


def features() -> Iterator[Finding]:
    if not shutil.which("nix"):
        yield ok("Nix is not on PATH; nothing needs it where ./loc is used")
        return
    # Without nix-command, neither answers; the second is how newer releases call the first.
    shown = output(["nix", "show-config"]) or output(["nix", "config", "show"])
    told = re.search(r"^experimental-features = (.*)$", shown, re.MULTILINE)
    if lacks := sorted({"nix-command", "flakes"} - set(told[1].split() if told else ())):
        yield Finding(
            "warn", f"Nix has {' and '.join(lacks)} turned off.", "`nix develop` and `nix run` need both.",
            "In ~/.config/nix/nix.conf: experimental-features = nix-command flakes",
        )  # fmt: skip
    else:
        yield ok("Nix has nix-command and flakes turned on")


def tracked() -> Iterator[Finding]:
    git = shutil.which("git")
    if not git or output([git, "-C", str(ROOT), "rev-parse", "--is-inside-work-tree"]) != "true":
        yield Finding(
            "warn", f"{ROOT} is no git repository.", "Nix then copies all of it, data and environments too.",
            "git init && git add .",
        )  # fmt: skip
        return
    command = [git, "-C", str(ROOT), "ls-files", "--others", "--exclude-standard", "--", *NEEDED]
    if untracked := output(command).splitlines():
        yield Finding(
            "fail", f"Git does not track {', '.join(untracked)}.", "Nix reads only what is tracked or staged.",
            f"git add {' '.join(untracked)}",
        )  # fmt: skip
    else:
        yield ok("Git tracks every file that the flake needs")
