"""Settings in files: of one clone in ``.env``, of a fork in ``.pc_env``; the environment wins."""

import io
import os
from pathlib import Path

from proto_loc.errors import UsageError
from proto_loc.settings import ROOT


def load(path: Path = ROOT / ".env") -> None:
    """Put the variables of ``.env`` and ``.pc_env`` into the environment, except those it has.

    ``.pc_env`` is the file of which process-compose reads its own options, so that the ports of a
    fork are the same when a person starts it by hand.

    Raises:
        UsageError: a line of ``.env`` is not ``NAME=value``; none of its variables is set then.
    """
    try:
        if path.exists():
            _load_own(path)
    finally:
        shared = path.with_name(".pc_env")
        for line in shared.read_text().splitlines() if shared.exists() else ():
            name, _, value = line.strip().partition("=")
            if name.startswith("LOC_"):
                os.environ.setdefault(name, value)


def _load_own(path: Path) -> None:
    from dotenv import main, parser  # takes 20 ms, so only where there is a .env

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} cannot be read.", f"{error}.", "Mend or remove that file."
        ) from error
    with io.StringIO(text) as stream:
        for line in parser.parse_stream(stream):
            if line.error or (line.key is not None and line.value is None):
                raise UsageError(
                    f"{path}, line {line.original.line}: this is not a setting.",
                    f"It reads {line.original.string.strip()!r}, and a line is NAME=value or starts"
                    " with #.",
                    "Mend or remove that line.",
                )
    for name, value in main.dotenv_values(path, encoding="utf-8").items():
        os.environ.setdefault(name, value or "")
