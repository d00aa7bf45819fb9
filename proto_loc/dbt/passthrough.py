"""Runs ``loc dbt``: dbt with a person's own arguments, on ``dev`` and on ``prod``."""

import os
import subprocess
from collections.abc import Sequence

from proto_loc import sources, warehouse
from proto_loc.dbt import program
from proto_loc.dbt.arguments import NARROWING, parse_command
from proto_loc.dbt.publish import publish
from proto_loc.dbt.session import open_session, restore_views
from proto_loc.errors import UsageError
from proto_loc.warehouse import lake

UNAUDITED = {"run", "seed", "snapshot", "run-operation", "clone"}
"""Commands of dbt that write relations and run no tests."""
OPTIONS = {
    *NARROWING,
    *("indirect_selection", "full_refresh", "fail_fast", "threads", "single_threaded", "target"),
    *("warn_error", "warn_error_options", "quiet", "debug", "print", "printer_width"),
    *("use_colors", "log_format", "log_level", "log_level_file"),
}
"""Options of ``dbt build``, by dbt's names, that change neither a model's rows nor their place."""


def passthrough(arguments: Sequence[str], forget: Sequence[str] = ()) -> int:
    """Run dbt with a person's own arguments and return its exit code.

    On ``prod``, ``build`` publishes, commands that only read run on a private copy, and commands
    that would write without tests are refused.

    Args:
        forget: see :func:`publish`; only a build of ``prod`` takes it.

    Raises:
        UsageError: the command would publish rows without a test.
        BuildFailed, WarehouseError: see :func:`publish`.
    """
    command, rest, options_by_name = parse_command(arguments)
    on_prod = options_by_name.get("target", os.environ.get("DBT_TARGET")) == "prod"
    if forget and not (on_prod and command == "build"):
        raise UsageError(
            "--forget is for a build of prod.",
            "It gives up the history of a snapshot that the project no longer has.",
            f"Run `loc dbt --forget {forget[0]} -- build --target prod`.",
        )
    if not on_prod or not command or "help" in options_by_name:
        lake.settle(sources.declared_columns())
        warehouse.ensure("prod")
        variables = program.environment("dev", deferred=command != "retry")
        return subprocess.run(
            [program.DBT, *arguments], cwd=program.PROJECT, env=variables
        ).returncode
    if command == "retry":
        raise UsageError(
            "`dbt retry` cannot continue a build of prod.",
            "A build that failed leaves nothing behind.",
            "Run `loc dbt -- build --target prod`, or use the target dev.",
        )
    if command in UNAUDITED:
        raise UsageError(
            f"`dbt {command}` does not write to prod.",
            "It runs no tests, and only tested data is published.",
            "Run `loc dbt -- build --target prod`, or use the target dev.",
        )
    if command == "build":
        if refused := sorted(options_by_name.keys() - OPTIONS):
            raise UsageError(
                f"`dbt build` on prod takes no --{refused[0].replace('_', '-')}.",
                "What is published is the whole project on all of raw, as any other build would"
                " make it.",
                "Leave it out, or use the target dev.",
            )
        publish(who="loc dbt -- build", arguments=rest, forget=forget)
        return 0
    with open_session(f"loc dbt -- {command}", None) as (session, _):
        session.discard()
        if command == "test":
            restore_views(session)
        variables = program.environment("prod", session=session)
        return session.run(
            [program.DBT, *arguments, "--target", "prod"],
            cwd=session.folder,
            env=variables,
        ).returncode
