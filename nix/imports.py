"""Imports the modules of the packages that golden.toml names for an environment.

``nix flake check`` runs it with the Python of the environment::

    python -I imports.py PACKAGE...
"""

import re
import sys
from importlib import import_module, metadata

OPTIONAL = {"adbc_driver_duckdb"}
"""Modules that a package ships for users of another package, which no environment has."""


def normalized(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


def modules(packages: list[str]) -> list[str]:
    """The top-level modules of packages, without private ones; some packages have none."""
    chosen = {normalized(name.partition("[")[0]) for name in packages}
    return sorted(
        module
        for module, owners in metadata.packages_distributions().items()
        if module.isidentifier()
        and not module.startswith("_")
        and module not in OPTIONAL
        and chosen.intersection(map(normalized, owners))
    )


def main() -> None:
    names = modules(sys.argv[1:])
    for name in names:
        import_module(name)
    print(f"{len(names)} modules: {', '.join(names)}")


if __name__ == "__main__":
    main()
