"""Stand-in for process-compose, started as ``python -m proto_loc.compose``.

The reason: process-compose is a Go binary in GitHub releases and in nixpkgs, and no package
registry has it. A machine that reaches only registries can run the platform with this stand-in. It
supports those keys that process-compose.yaml uses; ``tests/stack`` runs the same tests on both.
"""
