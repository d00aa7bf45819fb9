"""Screenshots of the browser tests, for a person to check."""

import os
from pathlib import Path

from proto_loc.settings import ROOT, private_folder


def shot(page, name: str) -> None:
    """Save a screenshot of the page in ``LOC_SCREENSHOTS``.

    The default is ``.run/screenshots`` of the clone.
    """
    folder = private_folder(Path(os.environ.get("LOC_SCREENSHOTS") or ROOT / ".run/screenshots"))
    page.wait_for_timeout(1500)  # until animations have ended
    page.screenshot(path=folder / f"{name}.png")
