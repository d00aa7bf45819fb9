"""Tests of ``devcontainer.json`` against its specification and the promises of the guides."""

import json
import re
from typing import Annotated, Literal

import pytest
from hooks import HOOKS, PREBUILT, config
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from proto_loc.compose.supervisor import number
from proto_loc.services import SERVICES
from proto_loc.settings import PORTS, ROOT
from proto_loc.setup.environments import golden

CONFIG = config()
FEATURE = "ghcr.io/devcontainers/features/nix:1"
Size = Annotated[str, Field(pattern=r"^\d+([tgmk]b)?$")]


class Part(BaseModel):
    """A part of the schema (devcontainers/spec, schemas/devContainer.base.schema.json).

    It contains only the keys that this repository uses.
    """

    model_config = ConfigDict(extra="forbid", strict=True)


class Port(Part):
    label: str | None = None
    protocol: Literal["http", "https"] | None = None
    onAutoForward: Literal[
        "notify", "openBrowser", "openBrowserOnce", "openPreview", "silent", "ignore"
    ]
    requireLocalPort: bool = False


class Secret(Part):
    description: str
    documentationUrl: Annotated[str, Field(pattern="^https://")]


class Host(Part):
    cpus: Annotated[int, Field(ge=1)]
    memory: Size
    storage: Size


class Nix(Part):
    """The options of the feature (devcontainers/features, src/nix) that this repository uses."""

    version: str
    multiUser: bool
    extraNixConfig: str


class Features(Part):
    nix: Annotated[Nix, Field(alias=FEATURE)]


class Editor(Part):
    extensions: list[Annotated[str, Field(pattern=r"^[a-z0-9-]+\.[a-z0-9-]+$")]]
    settings: dict[str, str | bool]


class Codespaces(Part):
    openFiles: list[str]


class Customizations(Part):
    vscode: Editor
    codespaces: Codespaces


class Devcontainer(Part):
    name: str
    image: str
    features: Features
    remoteUser: str
    hostRequirements: Host
    onCreateCommand: str | list[str] | dict[str, str] | None = None
    updateContentCommand: str | list[str] | dict[str, str] | None = None
    postCreateCommand: str | list[str] | dict[str, str] | None = None
    postStartCommand: str | list[str] | dict[str, str] | None = None
    postAttachCommand: str | list[str] | dict[str, str] | None = None
    waitFor: Literal[
        "onCreateCommand", "updateContentCommand", "postCreateCommand", "postStartCommand"
    ]
    forwardPorts: list[Annotated[int, Field(ge=0, le=65535)]]
    portsAttributes: dict[Annotated[str, Field(pattern=r"^\d+$")], Port]
    otherPortsAttributes: Port
    secrets: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], Secret]
    customizations: Customizations


def test_it_is_what_the_specification_allows():
    Devcontainer.model_validate(CONFIG)


@pytest.mark.parametrize(
    "wrong",
    [
        {"postAttach": "true"},
        {"waitFor": "postAttachCommand"},
        {"hostRequirements": {"cpus": 4, "memory": "16 GB", "storage": "32gb"}},
        {"portsAttributes": {"3000": {"onAutoForward": "open"}}},
        {
            "customizations": (
                CONFIG["customizations"] | {"vscode": {"extensions": 7, "settings": {}}}
            )
        },
        {"features": {}},
        {"secrets": {"A KEY": {"description": "", "documentationUrl": "https://a"}}},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_what_it_does_not_allow_is_found(wrong):
    with pytest.raises(ValidationError):
        Devcontainer.model_validate(CONFIG | wrong)


def test_nix_works_for_a_user_whose_number_is_not_1000():
    """On Linux, the container's user gets the host user's UID, which is 1001 on a GitHub runner.

    Then this user owns the home folder but not /nix, and only a daemon can write to /nix.
    """
    assert CONFIG["features"][FEATURE]["multiUser"] is True


def test_what_is_promised_is_there():
    nix = CONFIG["features"][FEATURE]
    assert "experimental-features = nix-command flakes" in nix["extraNixConfig"].split(",")
    assert set(CONFIG["customizations"]["vscode"]["extensions"]) == {
        "ms-python.python",
        "charliermarsh.ruff",
        "innoverio.vscode-dbt-power-user",
        "ms-toolsai.jupyter",
        "jnoortheen.nix-ide",
        "mkhl.direnv",
    }
    assert set(CONFIG["secrets"]) == {"ANTHROPIC_API_KEY", "OPENAI_API_KEY"}
    assert CONFIG["hostRequirements"] == {"cpus": 4, "memory": "16gb", "storage": "32gb"}
    assert all(
        (ROOT / name).exists() for name in CONFIG["customizations"]["codespaces"]["openFiles"]
    )


def test_every_port_of_a_service_is_forwarded_with_its_label_and_home_opens():
    ports = {service.port for service in SERVICES.values() if service.port}
    assert set(CONFIG["forwardPorts"]) == {PORTS[name] for name in ports}
    labels = {name: CONFIG["portsAttributes"][str(PORTS[name])]["label"].lower() for name in ports}
    assert labels == {name: name for name in ports}
    opened = [
        port
        for port, has in CONFIG["portsAttributes"].items()
        if has["onAutoForward"].startswith("openBrowser")
    ]
    assert opened == [str(PORTS["home"])]
    assert CONFIG["otherPortsAttributes"]["onAutoForward"] == "ignore"


def test_each_hook_is_one_command_of_ours_and_a_prebuild_only_installs():
    commands = {hook: CONFIG[hook] for hook in HOOKS if hook in CONFIG}
    assert [
        text for text in commands.values() if not re.fullmatch(r"\.devcontainer/run [\w -]+", text)
    ] == []
    assert [commands[hook].split()[1:] for hook in PREBUILT] == [["terminal"], ["setup"]]
    assert commands["postStartCommand"].endswith(" up -d") and commands[
        "postAttachCommand"
    ].endswith(" urls")


def test_a_person_is_let_in_before_packages_are_installed_or_services_started():
    """Only the first hook comes before, which downloads the tools of the terminal.

    Bug: the editor waited for the whole stack, and a failing hook left nobody to mend it.
    """
    assert CONFIG["waitFor"] == "onCreateCommand"


def test_the_image_is_a_supported_debian_by_its_digest():
    """A tag moves: what was tested yesterday is not what a codespace gets today.

    To move it: docs/codespaces.md, "Digests".
    """
    name, tag, digest = re.fullmatch(r"(.*):(.*)@sha256:([0-9a-f]{64})", CONFIG["image"]).groups()
    assert (name, tag) == ("mcr.microsoft.com/devcontainers/base", "trixie")
    assert len(set(digest)) > 8, "no digest is typed by hand"


def test_the_lock_has_the_digest_of_every_feature():
    """To renew it: devcontainer upgrade --workspace-folder ."""
    lock = json.loads((ROOT / ".devcontainer/devcontainer-lock.json").read_text())["features"]
    assert set(lock) == set(CONFIG["features"])
    for name, entry in lock.items():
        digest = re.fullmatch(r"sha256:[0-9a-f]{64}", entry["integrity"])[0]
        assert entry["resolved"] == f"{name.rpartition(':')[0]}@{digest}"
        assert entry["version"].startswith(f"{name.rpartition(':')[2]}.")


def test_nix_is_the_golden_one_and_builds_outside_of_tmp():
    """Before 2.30, Nix refuses what it built, as the ACLs of a codespace's /tmp change its mode."""
    version = CONFIG["features"][FEATURE]["version"]
    assert version == golden()["tools"]["nix"] and number(version) >= (2, 30)


def test_the_editor_uses_the_direnv_of_the_hook():
    script = (ROOT / ".devcontainer/run").read_text()
    link = re.search(r"direnv=\$HOME/(\S+)", script)[1]
    settings = CONFIG["customizations"]["vscode"]["settings"]
    home = f"/home/{CONFIG['remoteUser']}"
    assert settings["direnv.path.executable"] == f"{home}/{link}/bin/direnv"


def test_the_interpreter_of_the_editor_is_the_environment():
    path = CONFIG["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"]
    assert (ROOT / path.removeprefix("${containerWorkspaceFolder}/")).exists()
