"""Reads the hooks of devcontainer.json in the order of the specification."""

import json
import re

from proto_loc.settings import ROOT

HOOKS = (
    "onCreateCommand",
    "updateContentCommand",
    "postCreateCommand",
    "postStartCommand",
    "postAttachCommand",
)
PREBUILT = HOOKS[:2]
"""The hooks of a prebuild: every codespace that is made from the prebuild has their results."""


def config() -> dict:
    """Return the content of ``devcontainer.json``; each of its comments is a whole line."""
    text = (ROOT / ".devcontainer/devcontainer.json").read_text()
    return json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
