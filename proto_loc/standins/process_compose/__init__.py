"""Stand-in for process-compose, started as ``python -m proto_loc.compose``.

Why: process-compose is a Go binary of GitHub's releases and of nixpkgs, and no package registry has
it. A machine that reaches registries alone still runs the platform. It runs the part of
process-compose.yaml's language that ours uses; `tests/stack` holds both to the same behaviour.
"""
