"""``.env``: settings of one clone. It is optional, and the environment wins over it."""

import io
import os

from proto_loc.errors import UsageError
from proto_loc.settings import ROOT


def load(path=ROOT / ".env") -> None:
    """Put the file's variables into the environment, except those that are there already.

    Raises:
        UsageError: a line is no ``NAME=value``; it is named by file and number, and nothing is put
            anywhere.
    """
    if not path.exists():
        return
    from dotenv import main, parser  # costs 20 ms, which who has no .env need not pay

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
