"""``loc backup`` and ``loc restore``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

PANEL = "Data"
app = typer.Typer()


@app.command(rich_help_panel=PANEL)
def backup(
    file: Annotated[
        Path | None,
        typer.Argument(help="The archive to write; default: as [backup] in fork.toml says."),
    ] = None,
    since: Annotated[
        Path | None,
        typer.Option(metavar="ARCHIVE", help="Write only what this earlier archive does not have."),
    ] = None,
    with_secrets: Annotated[
        bool,
        typer.Option(
            "--with-secrets",
            help="Also the secrets, encrypted with a passphrase, which is asked for, or for --to.",
        ),
    ] = False,
    to: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="Public key of age or SSH for the secrets; repeatable."),
    ] = None,
    history: Annotated[
        bool, typer.Option("--history", help="List the backups that ended, and write none.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    who: Annotated[
        str, typer.Option(hidden=True, help="The name in the history, such as that of a run.")
    ] = "loc backup",
) -> None:
    """Write one archive of what git does not have: published versions, the lake, the histories of
    Dagster and Superset, your notebooks.

    Everything may run meanwhile. The archive has checksums, and gets its name once it is whole.

    Examples: loc backup /mnt/usb/monday.tar.zst, loc backup tuesday.tar.zst --since monday.tar.zst
    """
    from proto_loc.backup import make, records, schedule
    from proto_loc.cli import _console
    from proto_loc.errors import UsageError

    if history:
        _show_history(records.read(), json)
        return
    if to and not with_secrets:
        raise UsageError("--to is for secrets.", "", "Say --with-secrets too, or leave it out.")
    _console.show_log()
    gone: list[Path] = []
    with _console.progress() as report:
        if file is None:
            if since or with_secrets:
                raise UsageError(
                    "Without a file, fork.toml says what the backup has.",
                    "Its [backup] has full_every and secrets for that.",
                    "Name a file, or leave out the options.",
                )
            record, gone = schedule.backup(who=who, report=report)
        else:
            passphrase = _passphrase(twice=True) if with_secrets and not to else ""
            wish = make.Wish(since, with_secrets, tuple(to or ()), passphrase)
            record = make.backup(file, wish, who=who, report=report)
    if json:
        from dataclasses import asdict
        from json import dumps

        print(dumps(asdict(record) | {"removed": [str(path) for path in gone]}, indent=2))
        return
    from rich.filesize import decimal

    kind = "incremental, " if record.incremental else ""
    print(
        f"{record.file}: {kind}{decimal(record.bytes)} for {record.files:,} files of"
        f" {decimal(record.content)}, in {record.seconds:.1f} s"
    )
    print(f"id {record.id}")
    for path in gone:
        print(f"removed, as newer ones are kept: {path}")
    for sentence in record.missing:
        typer.echo(f"not in it: {sentence}", err=True)


@app.command(rich_help_panel=PANEL)
def restore(
    file: Annotated[
        Path | None,
        typer.Argument(help="The archive; without it, an interrupted restore is finished."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Set aside what is here, instead of refusing.")
    ] = False,
    with_secrets: Annotated[
        bool, typer.Option("--with-secrets", help="Also the secrets of the archive.")
    ] = False,
    identity: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="File of the private key for the secrets; else a passphrase."
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Read the archive in full, and restore nothing.")
    ] = False,
) -> None:
    """Put an archive of `loc backup` in place, whole or not at all: into this clone, on any path
    and with any ports.

    The services must be down. A damaged or foreign archive is refused before anything is touched,
    and so is whatever would be overwritten. Restore only archives that you trust: they hold
    notebooks and accounts.

    Examples: loc restore monday.tar.zst, loc restore --check monday.tar.zst
    """
    from rich.filesize import decimal

    from proto_loc.backup import plan, restore
    from proto_loc.cli import _console
    from proto_loc.errors import UsageError

    _console.show_log()
    if file is None:
        if not restore.resume():
            raise UsageError(
                "No archive is named, and no restore was interrupted.",
                "",
                "Name the archive: `loc restore FILE`.",
            )
        print("The restore is finished. Next: ./loc up -d")
        return
    if check:
        with _console.progress() as report:
            manifest = restore.inspect(file, report)
        print(f"{file} is whole: {len(manifest.files):,} files, {decimal(manifest.bytes)}")
        print(f"of {manifest.made_at}, id {manifest.id}")
        return
    terms = plan.Terms(
        force, with_secrets, identity, _passphrase() if with_secrets and not identity else ""
    )
    with _console.progress() as report:
        result = restore.restore(file, terms, report)
    print(f"Restored {len(result.manifest.files):,} files of {result.manifest.made_at}.")
    for folder in result.aside:
        print(f"What was here is in {folder}: remove it once all is well.")
    for sentence in (*result.manifest.missing, *result.notes):
        typer.echo(f"note: {sentence}", err=True)
    print("Next: ./loc doctor && ./loc up -d")


def _passphrase(*, twice: bool = False) -> str:
    """Ask for the passphrase, or read it from its secret where there is no terminal."""
    from proto_loc import credentials
    from proto_loc.backup.encryption import PASSPHRASE

    if sys.stdin.isatty() and sys.stderr.isatty():
        return typer.prompt("Passphrase", hide_input=True, confirmation_prompt=twice, err=True)
    return credentials.given(PASSPHRASE)


def _show_history(rows: list, json: bool) -> None:
    from dataclasses import asdict
    from json import dumps

    from rich.filesize import decimal

    from proto_loc.cli._console import out, table

    if json:
        print(dumps([asdict(row) for row in rows], indent=2))
        return
    shown = table(
        "Backups", "started", "by", "result", "size", "seconds", "file",
        numbers=("size", "seconds"),
    )  # fmt: skip
    for row in rows:
        kind = "incremental" if row.incremental else "whole"
        shown.add_row(
            row.started_at, row.who, row.error or kind, decimal(row.bytes), f"{row.seconds:.1f}",
            row.file,
        )  # fmt: skip
    out.print(shown)
