"""The optional file ``.env``: settings of one clone, which the environment overrides."""

import io
import os

from proto_loc.errors import UsageError
from proto_loc.settings import ROOT


def load(path=ROOT / ".env") -> None:
    """Put the file's variables into the environment, except those that it has already.

    Raises:
        UsageError: a line is not ``NAME=value``; no variable is set then.
    """
    if not path.exists():
        return
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
                    f"{path}, line {line.original.line}: this is no setting.",
                    f"It reads {line.original.string.strip()!r}, and a line is NAME=value or starts"
                    " with #.",
                    "Mend or remove that line.",
                )
    for name, value in main.dotenv_values(path, encoding="utf-8").items():
        os.environ.setdefault(name, value or "")
