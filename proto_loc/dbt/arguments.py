"""Command lines of dbt, read as dbt itself reads them."""

import os
from collections.abc import Sequence

NARROWING = ("select", "exclude", "selector", "resource_types", "exclude_resource_types")


def selection_options(arguments: Sequence[str]) -> list[str]:
    """Those arguments of ``dbt build`` that select a part of the project, as ``dbt ls`` takes
    them; none for all.
    """
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
    """A command line of dbt as dbt itself reads it: the command, the arguments without it, the
    options given by name.

    The command is empty where there is none that dbt knows, and where nothing speaks of prod or of
    a retry: to import dbt for this takes over a second.
    """
    if not any(
        "prod" in text or text == "retry" for text in (*arguments, os.environ.get("DBT_TARGET", ""))
    ):
        return "", [], {}
    return read_command(arguments)


def read_command(arguments: Sequence[str]) -> tuple[str, list[str], dict[str, object]]:
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
