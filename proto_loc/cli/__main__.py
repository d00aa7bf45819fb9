"""``python -m proto_loc.cli``: what the launcher ``loc`` starts."""

import sys

from proto_loc.cli import main

sys.exit(main())
