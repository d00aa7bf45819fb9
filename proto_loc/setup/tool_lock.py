"""Makes and checks ``locks/tools.json``: the wheels of uv and Node that the flake unpacks.

The locks of uv and Node allow every wheel of a version. Nix fetches one, by name and SHA-256.
"""

import json
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote, urlsplit

from proto_loc.errors import LocError
from proto_loc.settings import ROOT
from proto_loc.setup.environments import golden, uv

PATH = ROOT / "locks/tools.json"
MADE = "Made by ./loc lock; do not edit."
PLATFORMS = {
    "uv": {  # linked statically for musl, so that it runs with any libc and none
        "x86_64-linux": "x86_64-unknown-linux-musl",
        "aarch64-linux": "aarch64-unknown-linux-musl",
        "aarch64-darwin": "aarch64-apple-darwin",
    },
    "node": {
        "x86_64-linux": "x86_64-manylinux_2_28",
        "aarch64-linux": "aarch64-manylinux_2_28",
        "aarch64-darwin": "aarch64-apple-darwin",
    },
}
"""uv's names of the platforms, by tool and system of the flake."""


def text(locked: dict[str, str]) -> str:
    """Make the text of ``locks/tools.json`` from the locks of uv and Node.

    Args:
        locked: the text of each ``locks/NAME.txt``, by name.

    Raises:
        LocError: a tool has no wheel for a system, or the registry cannot be reached.
    """
    keys = [(tool, system) for tool, platforms in PLATFORMS.items() for system in platforms]
    with ThreadPoolExecutor() as pool:
        wheels = list(pool.map(lambda key: _wheel(*key, locked[key[0]]), keys))
    content: dict = {"//": MADE} | {tool: {} for tool in PLATFORMS}
    for (tool, system), wheel in zip(keys, wheels, strict=True):
        content[tool][system] = wheel
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def _wheel(tool: str, system: str, lock: str) -> dict[str, str]:
    """The file name and SHA-256 of a tool's wheel for one system."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "pylock.toml")
        options = ("--no-deps", "--no-header", "--quiet", "--format", "pylock.toml")
        python = ("--python-version", golden()["tools"]["python"])
        platform = ("--python-platform", PLATFORMS[tool][system])
        to = ("--output-file", out)
        uv("pip", "compile", "-", *options, *python, *platform, *to, stdin=lock)
        package = tomllib.loads(out.read_text())["packages"][0]
    if not package.get("wheels"):
        raise LocError(
            f"{package['name']} {package['version']} has no wheel for {system}.",
            "The flake unpacks the wheels of uv and Node.",
            "Choose another version in golden.toml, then run ./loc lock.",
        )
    wheel = package["wheels"][0]
    name = wheel.get("name") or unquote(urlsplit(wheel["url"]).path.rpartition("/")[2])
    return {"file": name, "sha256": wheel["hashes"]["sha256"]}


def differences() -> list[str]:
    """The tools for which ``locks/tools.json`` is out of date.

    Raises:
        LocError: a tool has no wheel for a system, or the registry cannot be reached.
    """
    try:
        known = json.loads(PATH.read_text())
    except FileNotFoundError:
        return ["missing"]
    except ValueError:
        return ["edited by hand"]
    locked = {tool: (ROOT / f"locks/{tool}.txt").read_text() for tool in PLATFORMS}
    fresh = json.loads(text(locked))
    return [tool for tool in PLATFORMS if known.get(tool) != fresh[tool]]
