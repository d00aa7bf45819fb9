"""Check that what is installed, and what runs, is what the locks and golden.toml name."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from proto_loc import services
from proto_loc.doctor.finding import Finding, ok
from proto_loc.services import launch
from proto_loc.settings import ROOT, environment_folder
from proto_loc.setup import settle
from proto_loc.setup.environments import golden, names, remedy

PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)
SHOWN = 5


def versions() -> Iterator[Finding]:
    """Compare each environment with its lock, and its shared files with ``[shared-files]``."""
    for name in names():
        folder = environment_folder(name)
        if not (folder / ".stamp").exists():
            continue  # the check of environments reports it
        if folder.name != name:
            continue  # another one takes its place, and has a turn of its own
        installed = packages(folder)
        locked = pins(ROOT / f"locks/{name}.txt")
        wrong = [
            f"{package} {version} (locked: {' or '.join(sorted(locked[package]))})"
            for package, version in sorted(installed.items())
            if package in locked and version not in locked[package]
        ]
        wrong += [
            f"{package} {version} (not locked)"
            for package, version in sorted(installed.items())
            if package not in locked
        ]
        table = golden().get(settle.TABLE, {})
        try:
            wrong += [
                f"{path} (not from {wheel.package}, as [shared-files] says)"
                for site in folder.glob("lib/python3*/site-packages")
                for path, wheel in settle.misplaced(site, table).items()
            ]
        except settle.Unsettled as error:
            yield Finding("fail", *error.args, symptom="Set-up stops at a shared file")
            continue
        if wrong:
            fix = (
                remedy()[1]
                if os.environ.get("LOC_ENVIRONMENTS")
                else f"./loc down && rm '{folder}/.stamp' && ./loc setup {name}"
            )
            others = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
            yield Finding(
                "fail",
                f"{folder} is not what its lock and golden.toml say: {', '.join(wrong[:SHOWN])}"
                f"{others}.",
                "Somebody has installed into it by hand, an installation was interrupted, or"
                " [shared-files] has changed while services ran.",
                fix,
                symptom="A package is of another version than golden.toml names",
            )
        else:
            yield ok(f"{folder} has the {len(installed)} packages of its lock, and no other")


def outdated() -> Iterator[Finding]:
    """Find services that started before their environment was last installed."""
    processes = running()
    late = []
    for name, process in processes.items():
        environment = services.SERVICES[name].environment
        with suppress(OSError, psutil.Error):
            stamp = (environment_folder(environment) / ".stamp").stat().st_mtime
            if process.create_time() < stamp:
                late.append(name)
                yield Finding(
                    "warn",
                    f"{name} runs with older packages than are installed.",
                    f"It started before {environment_folder(environment)} was installed last.",
                    f"./loc restart {name}",
                    symptom="A service shows another version than is installed",
                )
    if not late:
        number = len(processes) or "No"
        yield ok(f"{number} services run, none of them with older packages than are installed")


def running() -> dict[str, psutil.Process]:
    """The oldest process of each running service of this clone, by the service's name."""
    oldest: dict[str, psutil.Process] = {}
    for pid in launch.left(services.mark()):
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            name = process.environ().get(services.MARK, "").rpartition(":")[2]
            if name not in services.SERVICES:
                continue
            if name not in oldest or process.create_time() < oldest[name].create_time():
                oldest[name] = process
    return oldest


def pins(lock: Path) -> dict[str, set[str]]:
    """The versions of each package that a lock names, for different Pythons or systems."""
    versions_by_name: dict[str, set[str]] = {}
    for name, version in PIN.findall(lock.read_text()):
        versions_by_name.setdefault(normal(name), set()).add(version)
    return versions_by_name


def packages(environment: Path) -> dict[str, str]:
    """The version of each package that is installed in an environment."""
    folders = environment.glob("lib/python3.*/site-packages/*.dist-info")
    parts = (folder.name.removesuffix(".dist-info").rpartition("-") for folder in folders)
    return {normal(name): version for name, _, version in parts}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
