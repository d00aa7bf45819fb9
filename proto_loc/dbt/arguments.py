"""Parses command lines of dbt with dbt's own parser."""

import os
from collections.abc import Sequence

NARROWING = ("select", "exclude", "selector", "resource_types", "exclude_resource_types")


def selection_options(arguments: Sequence[str]) -> list[str]:
    """Convert the selection options of ``dbt build`` for ``dbt ls``; empty if they select all."""
    options_by_name = read_command(["build", *arguments])[2] if arguments else {}
    if not options_by_name.keys() & set(NARROWING):
        return []
    options: list[str] = []
    for name in (*NARROWING, "indirect_selection"):
        if values := options_by_name.get(name):
            option = "--" + name.replace("_", "-").removesuffix("s")
            options += [option, *([values] if isinstance(values, str) else values)]
    return options


def parse_command(arguments: Sequence[str]) -> tuple[str, list[str], dict[str, object]]:
    """Parse a command line of dbt, if it mentions ``prod`` or is a retry.

    For any other command line the result is empty, because the import of dbt takes over a second.

    Returns:
        See :func:`read_command`.
    """
    if not any(
        "prod" in text or text == "retry" for text in (*arguments, os.environ.get("DBT_TARGET", ""))
    ):
        return "", [], {}
    return read_command(arguments)


def read_command(arguments: Sequence[str]) -> tuple[str, list[str], dict[str, object]]:
    """Return the command, the arguments without it, and the values of the given options by name.

    The command is an empty text if dbt does not know it.
    """
    import click
    from click.core import ParameterSource
    from dbt.cli.main import cli

    command, context, rest, names, options_by_name = cli, None, list(arguments), [], {}
    while True:
        context = command.make_context("dbt", list(rest), parent=context, resilient_parsing=True)
        for option in command.get_params(context):
            if context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE:
                name = "help" if "--help" in option.opts else option.name
                options_by_name[name] = context.params.get(option.name)
        position = len(rest) - len(context.args) - 1
        if (
            not isinstance(command, click.Group)
            or position < 0
            or rest[position] not in command.commands
        ):
            break
        names.append(rest[position])
        command, rest = command.commands[rest[position]], context.args
    first = len(arguments) - len(rest) - 1
    return (
        " ".join(names),
        [a for i, a in enumerate(arguments) if not names or i != first],
        options_by_name,
    )
