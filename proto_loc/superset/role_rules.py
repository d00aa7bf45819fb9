"""Reads which rows each role sees, from ``superset/roles.yaml`` and the bundle's datasets."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from proto_loc.errors import LocError
from proto_loc.sql import identifier, literal
from proto_loc.superset.bundle.read import read

ALL_ROWS = "All rows"
"""The role of a Viewer whose rows no rule limits."""
SEES_ALL = ("Admin", "Analyst", ALL_ROWS)
"""Roles that see a dataset without a claim; if such a role has a claim, that still limits rows."""
MOST_OF_A_NAME = 80
"""Maximum number of characters of a rule's name."""


@dataclass(frozen=True)
class RowRule:
    """A rule of row-level security, in the form of Superset."""

    name: str
    dataset: str
    """Its uuid."""
    claim: str
    clause: str
    roles: tuple[str, ...]
    closes: bool
    """Whether the rule applies to everybody except the roles, instead of to the roles."""


def read_rules(folder: Path) -> list[RowRule]:
    """Read the rules that decide which rows each role sees.

    ``bundle/datasets`` say which column each claim limits; ``roles.yaml`` says which values each
    role has. A person without a role for the claim sees no rows; :data:`SEES_ALL` lists exceptions.

    Args:
        folder: the folder with the bundle and ``roles.yaml``.

    Raises:
        LocError: the file is not a valid mapping, or names a claim without a rule in any dataset.
    """
    path = folder / "roles.yaml"
    try:
        roles = yaml.safe_load(path.read_text()) or {}
    except (OSError, yaml.YAMLError) as error:
        raise LocError(
            f"{path} cannot be read.", f"{error}.", "Correct it; a file that holds {} has no roles."
        ) from error
    documents = [document.content for document in read(folder / "bundle").of("datasets")]
    access = [(content, (content.get("extra") or {}).get("access") or {}) for content in documents]
    known = {claim for _, columns in access for claim in columns}
    if why := _fault(roles, known):
        raise LocError(
            f"{path} is not sound; nothing was provisioned of the bundle.", why, "Correct it."
        )
    made = []
    for content, columns in access:
        table, uuid = content["table_name"], str(content["uuid"])
        for claim, column in columns.items():
            having = {role: claims[claim] for role, claims in roles.items() if claim in claims}
            name = f"{table}: nothing without {claim}"
            made.append(RowRule(name, uuid, claim, "1 = 0", (*SEES_ALL, *having), True))
            for role, values in having.items():
                texts = ", ".join(map(literal, values))
                clause = f"{identifier(column)} IN ({texts})"
                name = f"{table}: {claim} of {role}"
                made.append(RowRule(name, uuid, claim, clause, (role,), False))
    if long := [rule.name for rule in made if len(rule.name) > MOST_OF_A_NAME]:
        raise LocError(
            f"The name of the rule {long[0]!r} is longer than {MOST_OF_A_NAME} characters.",
            "",
            f"Shorten the name of the role in {path}.",
        )
    return made


def _fault(roles: object, known: set[str]) -> str:
    """Say why the content of ``roles.yaml`` cannot be used; empty if it can."""
    if not isinstance(roles, dict):
        return "It must map each role to its claims, such as ROLE: {CLAIM: [VALUE]}."
    for role, claims in roles.items():
        if not isinstance(role, str) or role in (*SEES_ALL, "Viewer", "Public"):
            return f"{role!r} is no name for a role of this file."
        if not isinstance(claims, dict) or not claims:
            return f"The role {role} has no claims; write them as {{claim: [value]}}."
        for claim, values in claims.items():
            if claim not in known:
                names = ", ".join(sorted(known)) or "none"
                return f"The role {role} has the claim {claim!r}; rules read: {names}."
            if not (isinstance(values, list) and values and all(map(_is_name, values))):
                return f"The claim {claim} of the role {role} is no list of names."
    return ""


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())
