"""Makes a fork of a clone: its name, ports, licence and CI."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from proto_loc import fork_file
from proto_loc.errors import UsageError
from proto_loc.fork.removal import write_entries
from proto_loc.fork.repository import Repository
from proto_loc.settings import PORTS, ROOT, port_setting

README = Path(__file__).parent / "templates/README.md"
PROJECT, SHARED = "dbt/dbt_project.yml", ".pc_env"
WRITTEN = ("README.md", "LICENSE", "fork.toml", SHARED, PROJECT)
WORKFLOWS = ".github/workflows"
RESERVED = "All rights reserved. This covers what is not in proto_loc/, whose licence is there.\n"


@dataclass(frozen=True)
class Choices:
    """What a person chooses for a fork."""

    name: str
    ports: Mapping[str, int] = field(default_factory=dict)
    """Service → its port, for those that move."""
    licence: str = ""
    """``MIT``, ``none`` (all rights reserved), or the path of a file; empty to leave it."""
    owner: str = ""
    """Whose work it is, for the licence."""
    workflows: bool = True
    """Whether the workflows of GitHub Actions stay."""

    def __post_init__(self) -> None:
        """Check all of it.

        Raises:
            UsageError: a choice is not usable.
        """
        if not fork_file.NAME.fullmatch(self.name) or self.name == "proto_loc":
            raise UsageError(
                f"A fork cannot be called {self.name!r}.", fork_file.NAME_RULE,
                "Choose one such as shop or my-shop.",
            )  # fmt: skip
        for service, port in self.ports.items():
            if service not in PORTS:
                raise UsageError(
                    f"There is no service {service!r} with a port.", "",
                    f"Choose from: {', '.join(PORTS)}.",
                )  # fmt: skip
            if not 1024 <= port <= 65535:
                raise UsageError(
                    f"Port {port} for {service} is not usable.", "", "It is from 1024 to 65535."
                )
        if self.licence == "MIT" and not self.owner:
            raise UsageError("The MIT licence names whose work it is.", "", "Add --owner 'NAME'.")
        if self.licence not in ("", "MIT", "none") and not Path(self.licence).is_file():
            raise UsageError(
                f"There is no file {self.licence} with a licence.", "",
                "Choose MIT, none, or the path of a text file.",
            )  # fmt: skip
        if self.licence not in ("", "MIT", "none"):
            _text(Path(self.licence))

    @property
    def project(self) -> str:
        """The name of the dbt project."""
        return self.name.replace("-", "_")


def check(choices: Choices, root: Path = ROOT, base: str = "") -> None:
    """Refuse to write over changes that are not committed, and a port of two services.

    Raises:
        UsageError: there is no commit, a file that would be written has such changes, or a port
            is that of another service by default or in ``.pc_env``.
    """
    numbers = list({**PORTS, **_ports_of(root / SHARED), **choices.ports}.values())
    if twice := [port for port in choices.ports.values() if numbers.count(port) > 1]:
        raise UsageError(
            f"Two services would have port {twice[0]}.", "", "Give one of them another."
        )
    repository = Repository(root)
    repository.base(base)
    places = (*WRITTEN, WORKFLOWS)
    if changed := repository.paths("diff", "--name-only", "-z", "HEAD", "--", *places):
        raise UsageError(
            f"{', '.join(changed)} would be written, and has changes that are not committed.",
            "",
            "git commit or git stash them first. Nothing was changed.",
        )


def start(choices: Choices, *, root: Path = ROOT, base: str = "") -> list[str]:
    """Write the fork's own files; return a line for each.

    A README or licence that a person has changed since the platform came stays. Call
    :func:`check` before anything is changed.

    Args:
        base: the name of the commit that the platform came with, if a person says it.
    """
    repository = Repository(root)
    commit, _ = repository.base(base)
    theirs = repository.changed_since(commit)
    lines = [f"fork.toml: the name {choices.name}"]
    write_entries(root / "fork.toml", name=choices.name, upstream=commit)
    texts = {"README.md": README.read_text().replace("{name}", choices.name)}
    if choices.licence:
        texts["LICENSE"] = _licence(choices, root)
    for name, text in texts.items():
        if name in theirs:
            lines.append(f"{name}: yours, it stays")
        else:
            (root / name).write_text(text)
            lines.append(f"{name}: written")
    if choices.ports:
        _write_ports(root / SHARED, choices.ports)
        lines.append(f"{SHARED}: {', '.join(f'{k} on {v}' for k, v in choices.ports.items())}")
    if not choices.workflows and (root / WORKFLOWS).exists():
        lines += _remove_workflows(root, set(repository.files_of(commit)) - theirs)
    return lines


def _remove_workflows(root: Path, unchanged: set[str]) -> list[str]:
    """Delete the workflows that are as they came; return a line for what goes and what stays."""
    lines = []
    for path in sorted((root / WORKFLOWS).rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_dir():
            continue
        if name in unchanged:
            path.unlink()
            lines.append(f"{name}: removed")
        else:
            lines.append(f"{name}: yours, it stays")
    if not any((root / WORKFLOWS).iterdir()):
        (root / WORKFLOWS).rmdir()
    return lines


def name_project(root: Path = ROOT) -> list[str]:
    """Give the dbt project the fork's name; return a line if it had the platform's.

    The demonstration's project keeps its name, because its tests know it, and so does one that
    came with ``loc init --dbt``, because its macros may know it.
    """
    fork = fork_file.read(root / "fork.toml")
    path = root / PROJECT
    text = path.read_text()
    if fork.demonstration or (new := named(text, fork.name)) == text:
        return []
    path.write_text(new)
    return [f"{PROJECT}: the name {fork.name.replace('-', '_')}"]


def named(text: str, name: str) -> str:
    """The text of the platform's dbt_project.yml with a fork's name; another text as it is."""
    project = name.replace("-", "_")
    if not re.search(r"^name: proto_loc$", text, re.MULTILINE):
        return text
    text = re.sub(r"^name: proto_loc$", f"name: {project}", text, flags=re.MULTILINE)
    return re.sub(r"^  proto_loc:", f"  {project}:", text, flags=re.MULTILINE)


def with_ports_of(own: str, text: str) -> str:
    """Put the ports of a fork's ``.pc_env`` at the end of another version of the file."""
    ports = [line for line in own.splitlines() if line.startswith("LOC_")]
    rest = [line for line in text.splitlines() if line not in ports]
    return "\n".join([*rest, *ports]) + "\n"


def _licence(choices: Choices, root: Path) -> str:
    """The text of a licence. The platform's own stays in ``proto_loc/LICENSE``."""
    line = f"Copyright (c) {date.today().year} {choices.owner}".rstrip()
    if choices.licence == "MIT":
        text = (root / "proto_loc/LICENSE").read_text()
        return re.sub(r"^Copyright .*$", lambda _: line, text, count=1, flags=re.MULTILINE)
    return f"{line}\n\n{RESERVED}" if choices.licence == "none" else _text(Path(choices.licence))


def _text(path: Path) -> str:
    """The text of a file.

    Raises:
        UsageError: it cannot be read as UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read.", f"{error}.", "Save it as UTF-8.") from error


def _ports_of(path: Path) -> dict[str, int]:
    """The ports of services in a fork's ``.pc_env``."""
    lines = path.read_text().splitlines() if path.exists() else []
    values = dict(line.strip().split("=", 1) for line in lines if "=" in line)
    numbers = {service: values.get(port_setting(service), "") for service in PORTS}
    return {service: int(number) for service, number in numbers.items() if number.isdecimal()}


def _write_ports(path: Path, ports: Mapping[str, int]) -> None:
    """Set ports in ``.pc_env``; other lines stay."""
    own = tuple(f"{port_setting(service)}=" for service in ports)
    lines = path.read_text().splitlines() if path.exists() else []
    kept = [line for line in lines if not line.startswith(own)]
    new = [f"{port_setting(service)}={port}" for service, port in ports.items()]
    path.write_text("\n".join([*kept, *new]) + "\n")
