"""Stand-in for nixfmt and deadnix: ``form.py nixfmt|deadnix [OPTION...] FILE...``.

It checks less than they do: white space and line width for nixfmt, unused names for deadnix. `nix
flake check` with the real nixpkgs runs the real programs.
"""

import re
import sys
from pathlib import Path

WIDTH = 120
NAME = r"[A-Za-z_][\w'-]*"


def form(text: str) -> list[str]:
    """Return the errors of format, by line."""
    wrong = []
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if "\t" in line:
            wrong.append(f"{number}: a tab")
        if line != line.rstrip():
            wrong.append(f"{number}: blank space at the end")
        if len(line) > WIDTH:
            wrong.append(f"{number}: longer than {WIDTH}")
        if (len(line) - len(line.lstrip(" "))) % 2:
            wrong.append(f"{number}: indented by an odd number of spaces")
        if not line and lines[number - 2 : number - 1] in ([], [""]):
            wrong.append(f"{number}: an empty line too many")
    if not text.endswith("\n") or text.endswith("\n\n"):
        wrong.append(f"{len(lines)}: the file does not end with one newline")
    return wrong


def dead(text: str) -> list[str]:
    """Return arguments and `let` names that are not used."""
    code = re.sub(
        r"''.*?(?<!')''(?!['$\\])", "text", re.sub(r"(?m)(^|\s)#.*$", "", text), flags=re.DOTALL
    )
    code, names = re.sub(r'"[^"\n]*"', "text", code), []
    for arguments in re.findall(
        rf"\{{([^{{}};=]*?)\}}\s*(?:@{NAME})?:", re.sub(r"\? *(\[ \]|\{ \}|text)", "", code)
    ):
        names += [name.strip() for name in arguments.split(",") if re.fullmatch(NAME, name.strip())]
    names += re.findall(rf"(?<![\w$.'/-])({NAME}):\s", code)
    for block in re.findall(r"\blet\b(.*?)^\s*in\b", code, re.DOTALL | re.MULTILINE):
        depth = min(
            (len(line) - len(line.lstrip()) for line in block.splitlines() if line.strip()),
            default=0,
        )
        names += re.findall(rf"(?m)^ {{{depth}}}({NAME}) =", block)
    used = re.findall(NAME, re.sub(r"(?m)(^|\s)#.*$", "", text))
    return [
        f"{name} is never used"
        for name in names
        if not name.startswith("_") and used.count(name) < 2
    ]


def main(program: str, *arguments: str) -> int:
    files = [Path(argument) for argument in arguments if not argument.startswith("-")]
    find = {"nixfmt": form, "deadnix": dead}[program]
    wrong = [f"{file}: {said}" for file in files for said in find(file.read_text())]
    print(*wrong, sep="\n", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
