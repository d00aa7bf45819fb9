"""proto_loc: a local analytics platform that one person can fork and run without Docker."""
