"""Checks of Nix, its store, and the variables that a Nix shell sets."""

import os
import platform
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from proto_loc.doctor.finding import Finding, ok
from proto_loc.settings import ROOT
from proto_loc.setup.programs import output, run
from proto_loc.setup.project import RECORD

NEEDED = ("flake.nix", "flake.lock", "golden.toml", "nix")
PROFILE = Path("/nix/var/nix/profiles/default/etc/profile.d/nix-daemon.sh")
"""The file that a login shell reads where Nix is installed for all users."""
NIXOS = Path("/etc/NIXOS")
"""A file that only NixOS has."""
LOADERS = {"x86_64": "/lib64/ld-linux-x86-64.so.2", "aarch64": "/lib/ld-linux-aarch64.so.1"}
LOADER = Path(LOADERS.get(platform.machine(), os.devnull))
"""The dynamic loader of programs from wheels (ruff, duckdb)."""


def libraries() -> Iterator[Finding]:
    if value := os.environ.get("LD_LIBRARY_PATH"):
        yield Finding(
            "warn",
            f"LD_LIBRARY_PATH={value} is exported.",
            "Every program of this shell loads libraries from there, "
            "and one that was built for others fails in strange ways.",
            "unset LD_LIBRARY_PATH; for the platform alone there is LOC_LIBRARY_PATH",
            symptom="Programs crash with symbol or version errors of a library",
        )
    else:
        yield ok("LD_LIBRARY_PATH is not exported")
    for folder in filter(None, os.environ.get("LOC_LIBRARY_PATH", "").split(":")):
        if not Path(folder).is_dir():
            yield Finding(
                "fail",
                f"LOC_LIBRARY_PATH names {folder}.",
                "The folder is gone: Nix has collected it as garbage.",
                "Enter the Nix shell again.",
                symptom="Programs crash with symbol or version errors of a library",
            )


def loader() -> Iterator[Finding]:
    if not NIXOS.exists():
        return
    if LOADER.exists() and "stub-ld" not in str(LOADER.resolve()):
        yield ok(f"{LOADER} is there, so that programs from wheels run")
    else:
        yield Finding(
            "warn",
            "Programs that come in wheels do not run on this NixOS.",
            f"They look for {LOADER}. All that the platform itself needs is Python; `loc db"
            " shell` and the tests' linter are such programs.",
            "Set programs.nix-ld.enable = true in this machine's configuration.",
            symptom="On NixOS, `loc db shell` or a linter does not start",
        )


def features() -> Iterator[Finding]:
    if not shutil.which("nix"):
        if PROFILE.exists():
            yield Finding(
                "warn",
                "Nix is installed, but not on PATH.",
                f"This shell has not read {PROFILE}.",
                f"Log in again, or: . {PROFILE}",
                symptom="`nix` is not found, or `nix develop` does not work",
            )
        else:
            yield ok("Nix is not on PATH; nothing needs it where ./loc is used")
        return
    # Newer releases have the second form; without nix-command, neither answers.
    shown = output(["nix", "show-config"]) or output(["nix", "config", "show"])
    setting = re.search(r"^experimental-features = (.*)$", shown, re.MULTILINE)
    if lacks := sorted({"nix-command", "flakes"} - set(setting[1].split() if setting else ())):
        yield Finding(
            "warn",
            f"Nix has {' and '.join(lacks)} turned off.",
            "`nix develop` and `nix run` need both.",
            "In ~/.config/nix/nix.conf: experimental-features = nix-command flakes",
            symptom="`nix` is not found, or `nix develop` does not work",
        )
    else:
        yield ok("Nix has nix-command and flakes turned on")


def store() -> Iterator[Finding]:
    if not shutil.which("nix"):
        return
    state = Path(os.environ.get("NIX_STATE_DIR") or "/nix/var/nix")
    parent = next(path for path in (state, *state.parents) if path.exists())
    if parent != state and os.access(parent, os.W_OK):  # asking Nix would create it
        yield ok(f"Nix has no {state} yet, and can make it")
        return
    reason = ""
    for name in ("ping", "info"):  # in older and in newer releases
        done = run(["nix", "--extra-experimental-features", "nix-command", "store", name])
        if done and done.returncode == 0:
            yield ok("Nix's store answers")
            return
        errors = [line for line in (done.stderr if done else "").splitlines() if "error:" in line]
        if errors and "is not a recognised command" not in errors[-1]:
            reason = errors[-1].partition("error:")[2].strip()
    yield Finding(
        "warn",  # the platform runs without Nix
        "Nix cannot use its store.",
        reason or "It does not answer.",
        "With a daemon: start it (systemctl start nix-daemon), and be in the group that may use it"
        " (on Debian, nix-users). Without one, /nix has to be yours: sudo chown -R $(id -u) /nix",
        symptom="`nix` is not found, or `nix develop` does not work",
    )


def tracked() -> Iterator[Finding]:
    git = shutil.which("git")
    if not git:
        yield Finding(
            "warn",
            "git is not on PATH.",
            "Nix needs it for a git repository, and what is tracked cannot be seen.",
            "Install git.",
            symptom="`nix develop` misses files, or copies too much",
        )
        return
    listed = run([git, "-C", str(ROOT), "ls-files", "--", *NEEDED])
    if not listed or listed.returncode:
        if (ROOT / ".git").exists():
            yield Finding(
                "fail",
                f"git cannot read {ROOT}.",
                listed.stderr.strip() if listed else "It does not answer.",
                "If it belongs to another user and you trust it: git config --global --add"
                f" safe.directory {ROOT}",
                symptom="`nix develop` misses files, or copies too much",
            )
        elif (ROOT / RECORD).exists():
            yield ok(f"{ROOT} is a project folder, which Nix does not read")
        else:
            yield Finding(
                "warn",
                f"{ROOT} is not a git repository.",
                "Nix then copies all of it, data and environments too.",
                "git init && git add .",
                symptom="`nix develop` misses files, or copies too much",
            )
        return
    files = {
        *NEEDED[:-1],
        *(str(path.relative_to(ROOT)) for path in (ROOT / NEEDED[-1]).rglob("*.nix")),
    }
    if untracked := sorted(files - set(listed.stdout.splitlines())):
        names = " ".join(untracked)
        missing = [name for name in untracked if not (ROOT / name).exists()]
        fix = f"git add {names} (with --force where it is ignored)"
        yield Finding(
            "fail",
            f"Git does not track {', '.join(untracked)}.",
            "Nix reads only what is tracked or staged"
            + (f", and {', '.join(missing)} is not there." if missing else "."),
            f"git checkout HEAD -- {' '.join(missing)}" if missing else fix,
            symptom="`nix develop` misses files, or copies too much",
        )
    else:
        yield ok("Git tracks every file that the flake needs")
