"""Finds words of the demonstration's domain in a text."""

import re

WORDS = (
    *("taxi", "taxis", "trip", "trips", "passenger", "passengers", "tlc", "vendor", "vendors"),
    *("borough", "boroughs", "queens", "manhattan", "brooklyn", "fare", "fares", "tip_rate"),
    *("pickup", "pickups", "pick-up", "pick-ups", "dropoff", "dropoffs", "drop-off", "drop-offs"),
    *("yellow", "green", "colour", "colours", "new york"),
)
"""Words of the domain, as whole words or as parts of a name with underscores."""

FALSE_FRIENDS = (
    r'"(?:bold )?(?:green|yellow)"',  # a style of rich
    r"\[(?:bold )?(?:green|yellow)\]",
    r"\b(?:fg|color|colour|style)=\S*(?:green|yellow)\S*",
    r"\bround[ -]trips?\b",
)
"""Expressions in which such a word has another meaning."""

OTHER_SENSE = {
    "proto_loc/ai/asking/chart.py": r"\bcolours?\b",  # of a chart's lines
    "proto_loc/cli/doctor.py": r"\bcolours?\b",  # of the terminal
    "proto_loc/superset/bundle/forms.py": r"\bcolours?\b",  # of labels in a chart
    "proto_loc/superset/pages.py": r"\bcolours?\b",
}
"""By file: an expression that does not belong to the domain."""

PATTERN = re.compile(rf"(?<![a-z])(?:{'|'.join(map(re.escape, WORDS))})(?![a-z])", re.IGNORECASE)


def domain_words(text: str, file: str = "") -> list[str]:
    """Return the lines with a word of the domain, with their line numbers."""
    friends = [*FALSE_FRIENDS, *([OTHER_SENSE[file]] if file in OTHER_SENSE else [])]
    lines = re.sub("|".join(friends), "", text, flags=re.IGNORECASE).splitlines()
    return [f"{i}: {line.strip()}" for i, line in enumerate(lines, 1) if PATTERN.search(line)]
