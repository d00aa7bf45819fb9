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
"""The hooks of a prebuild: what they leave is in every codespace that is made from it."""


def config() -> dict:
    """``devcontainer.json``; its comments are whole lines."""
    text = (ROOT / ".devcontainer/devcontainer.json").read_text()
    return json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
