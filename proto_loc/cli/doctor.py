"""``loc doctor``: checks this machine and this clone, and repairs what is safe."""

from typing import Annotated

import typer

app = typer.Typer()


@app.command(
    rich_help_panel="Set-up",
    epilog="Examples: ./loc doctor    ./loc doctor --fix    ./loc doctor --json",
)
def doctor(
    fix: Annotated[
        bool,
        typer.Option("--fix", help="Repair what loses nothing and needs no decision."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Check this machine and this clone; the exit code is 1 if a check fails.

    It changes nothing without --fix, but installs the environment that it runs in if that is
    missing. With --fix it says what it has done, and the exit code is 1 if a check still fails.
    """
    from proto_loc import doctor

    findings = list(doctor.look())
    if fix:
        findings = doctor.mend(findings)
    if json:
        from json import dumps

        print(dumps([{"check": name} | finding.fields() for name, finding in findings], indent=2))
    else:
        from proto_loc.cli._console import out

        colours = {"ok": "green", "done": "cyan", "warn": "yellow", "fail": "red"}
        for name, finding in findings:
            out.print(f"[{colours[finding.status]}]{finding.status:<4}[/] {name:<16}", end="")
            out.print(finding.what, markup=False, soft_wrap=True)
            by_itself = ""
            if finding.repair and "--fix" not in finding.fix:
                by_itself = " (./loc doctor --fix does it)"
            for label, text in (("why", finding.why), ("fix", finding.fix + by_itself)):
                if text:
                    out.print(f"{'':<21} {label}: {text}", markup=False, soft_wrap=True)
    raise typer.Exit(int(any(finding.status == "fail" for _, finding in findings)))
