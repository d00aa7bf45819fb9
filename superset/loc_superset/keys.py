"""Rotation of Superset's secret key."""

import os
from pathlib import Path

from superset.utils.encrypt import SecretsMigrator


def rotate() -> None:
    """Encrypt with the new key what an earlier one has encrypted, where that one is kept beside it: ``*.previous``."""
    previous = Path(f"{os.environ['LOC_SECRET_FILE']}.previous")
    if previous.exists():
        SecretsMigrator(previous_secret_key=previous.read_text().strip()).run()
        previous.unlink()
        print("Superset's secrets are encrypted with the new key; the previous one is removed.", flush=True)
