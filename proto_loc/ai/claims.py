"""Limits the SQL of a viewer with claims to the rows that the marts' access rules allow.

Such a viewer reads only the marts that have a rule for each claim, because another table may hold
the same rows. A statement that cannot be limited is refused.
"""

from collections.abc import Mapping

from proto_loc.cube.client import ALL_ROWS
from proto_loc.errors import UsageError
from proto_loc.metrics.definitions import SemanticModel
from proto_loc.sql import identifier, literal
from proto_loc.warehouse import guard
from proto_loc.warehouse.engine import Statements


def check(claims: Mapping, models: tuple[SemanticModel, ...]) -> None:
    """Check that a rule uses each claim, and that each claim is a list of names.

    Raises:
        UsageError: a claim is unknown or not a list of names.
    """
    known = {rule.claim for model in models for rule in model.access}
    for claim, values in claims.items() if claims != ALL_ROWS else ():
        if claim not in known:
            raise UsageError(
                f"No rule reads the claim {claim}.",
                f"Rules of what is published read: {', '.join(sorted(known)) or 'none'}.",
                "Correct the claim, or add a rule to config.meta.access of a mart and publish.",
            )
        names = isinstance(values, list) and values
        if not names or not all(isinstance(value, str) and value for value in values):
            raise UsageError(f"The claim {claim} is no list of names.", "", "Write it as a list.")


def limit(
    sql: str,
    claims: Mapping,
    models: tuple[SemanticModel, ...],
    tables: tuple[str, ...],
    statements: Statements,
) -> str:
    """Rewrite a statement so that it reads only the rows that the claims allow.

    Args:
        tables: the names of all published tables, ``schema.table``.
        statements: those of the version's engine.

    Raises:
        guard.Refused: it reads a table whose rows these claims cannot limit.
    """
    access = {
        model.table.lower(): {rule.claim: rule.column for rule in model.access} for model in models
    }
    if claims == ALL_ROWS or not any(access.values()):
        return sql
    found = statements.reads(sql)
    names = {name.lower() for _, name in found.tables}
    # A CTE may shadow a table in one part of a statement, and not in another.
    names |= found.ctes & {table.rpartition(".")[2].lower() for table in tables}
    if found.describes:
        raise _refusal("SHOW, DESCRIBE and SUMMARIZE", claims)
    for name in sorted(names):
        if not claims or access.get(name, {}).keys() != claims.keys():
            raise _refusal(name, claims)
    clauses = {
        name: [
            f"{identifier(access[name][claim])} IN ({', '.join(map(literal, values))})"
            for claim, values in claims.items()
        ]
        for name in names
    }
    limited = statements.put(sql, clauses)
    statements.hold(limited, clauses)
    return limited


def _refusal(name: str, claims: Mapping) -> guard.Refused:
    return guard.Refused(
        f"Rows of {name} may not be read here.",
        f"The viewer is limited by {', '.join(claims) or 'an access rule, and has no claim'}.",
        "Read a mart that has an access rule for exactly these claims.",
    )
