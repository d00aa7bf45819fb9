"""Reads ``demonstration.toml``: which paths the content of the demonstration has."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from proto_loc.errors import UsageError

FILE = "demonstration.toml"


@dataclass(frozen=True)
class Demonstration:
    """The places of the demonstration's content."""

    paths: tuple[str, ...] = ()
    """Patterns of paths: a folder ends with ``/``, and ``*`` is any part of one name."""
    stays: Mapping[str, str] = field(default_factory=dict)
    """Files that a fork without the demonstration has too → their text there."""

    def covers(self, path: str) -> bool:
        """Whether a path, from the root of the repository, is in one of the places."""
        return path in self.stays or any(_matches(pattern, path) for pattern in self.paths)

    def choose(self, paths: Iterable[str]) -> list[str]:
        """Return those of the paths that are in one of the places, sorted."""
        return sorted(path for path in paths if self.covers(path))

    def __or__(self, other: "Demonstration") -> "Demonstration":
        """Return the places of both."""
        paths = tuple(dict.fromkeys((*self.paths, *other.paths)))
        return Demonstration(paths, {**self.stays, **other.stays})


def parse(text: str, name: str = FILE) -> Demonstration:
    """Read the text of the file; an empty text has no places.

    Raises:
        UsageError: it is not such a file.
    """
    try:
        content = tomllib.loads(text)
        paths, stays = content.get("paths", []), content.get("stays", {})
        if not all(isinstance(part, str) for part in (*paths, *stays, *stays.values())):
            raise ValueError("paths are texts, and so are the files that stay")
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{name} cannot be read.", f"{error}.", f"git checkout HEAD -- {FILE}"
        ) from error
    return Demonstration(tuple(paths), stays)


def _matches(pattern: str, path: str) -> bool:
    expression = re.escape(pattern).replace(r"\*", "[^/]*")
    return bool(re.fullmatch(f"{expression}.*" if pattern.endswith("/") else expression, path))
