"""Entry point ``python -m proto_loc.cli``, which the launcher ``loc`` starts."""

import sys

from proto_loc.cli import main

sys.exit(main())
