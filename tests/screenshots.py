"""Screenshots of the browser tests, for a person to look at."""

import os
from pathlib import Path

from proto_loc.settings import ROOT, private_folder


def shot(page, name: str) -> None:
    """Keep a picture of the page in ``LOC_SCREENSHOTS``, by default ``.run/screenshots`` of the
    clone.
    """
    folder = private_folder(Path(os.environ.get("LOC_SCREENSHOTS") or ROOT / ".run/screenshots"))
    page.wait_for_timeout(1500)  # until what moves has come to rest
    page.screenshot(path=folder / f"{name}.png")
