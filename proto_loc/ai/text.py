"""Text of a model or of its program, made fit to be shown."""

import unicodedata

MOST = 10_000
"""Characters that are kept."""


def clean(text: object) -> str:
    """Text without control characters, escape sequences and marks that change the direction of writing.

    Raises:
        TypeError: it is no text.
    """
    if not isinstance(text, str):
        raise TypeError("it is no text")
    # Cut first: what is looked at one by one must not be as long as its writer likes.
    kept = (char for char in text[:MOST] if char in "\n\t" or unicodedata.category(char) not in _CONTROLS)
    return "".join(kept)


_CONTROLS = ("Cc", "Cf", "Cs", "Co")
