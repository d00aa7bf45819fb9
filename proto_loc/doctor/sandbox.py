"""The check of the sandbox in which `chat` runs a model's programs."""

import shutil
import sys
from collections.abc import Iterator

from proto_loc.ai.chatting import bubblewrap as box
from proto_loc.doctor.finding import Finding, ok


def bubblewrap() -> Iterator[Finding]:
    if not box.PYTHON.exists():
        yield ok("The sandbox of `chat` belongs to the environment notebooks, not installed here")
    elif not shutil.which("bwrap") and sys.platform == "linux":
        yield Finding(
            "warn",
            "`chat` in notebooks runs no program here.",
            "bubblewrap is not on PATH.",
            "Debian and Ubuntu: apt-get install bubblewrap; or enter the Nix shell. `loc ask` does"
            " without.",
            symptom="`chat` in a notebook says that the program was not run",
        )
    elif (why := box.unavailable()).endswith(box.remedy()):
        yield Finding(
            "warn",
            "`chat` in notebooks runs no program here.",
            why.removesuffix(box.remedy()).strip(),
            f"Let bubblewrap make user namespaces. {box.remedy()}",
            symptom="`chat` in a notebook says that the program was not run",
        )
    elif why:
        yield Finding(
            "warn",
            "`chat` in notebooks runs no program here.",
            why,
            "Ask with `loc ask`, which runs no program.",
            symptom="`chat` in a notebook says that the program was not run",
        )
    else:
        yield ok("The sandbox of `chat` works")
