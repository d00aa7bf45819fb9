"""Runs the stand-in: ``python -m proto_loc.compose FILE SOCKET [NAME...]``."""

import asyncio
import sys
from pathlib import Path

from proto_loc.errors import exit_on_error
from proto_loc.standins.process_compose.server import main

if __name__ == "__main__":
    with exit_on_error():
        sys.exit(asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), tuple(sys.argv[3:]))))
