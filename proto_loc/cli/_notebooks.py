"""Runs commands whose packages are in the environment ``notebooks``."""

import json
import os
import sys
from typing import NoReturn

from proto_loc.settings import ROOT, environment_folder


def run(name: str, options: dict) -> NoReturn:
    """Replace this process by a command of ``python -m proto_loc.ai``."""
    from proto_loc.setup import environments

    environments.sync("notebooks")
    python = environment_folder("notebooks") / "bin/python"
    sys.stdout.flush()
    os.environ["PYTHONPATH"] = str(ROOT)
    arguments = json.dumps(options | {"debug": "--debug" in sys.argv})
    os.execv(python, [str(python), "-P", "-m", "proto_loc.ai", name, arguments])
