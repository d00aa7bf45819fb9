"""Builds the site of ``docs/`` with Sphinx, and looks for faults in it."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from proto_loc import files
from proto_loc.errors import LocError
from proto_loc.settings import ROOT, environment_folder, private_folder, settings
from proto_loc.setup import environments

CONFIGURATION = Path(__file__).parent
_REMOTE_REFERENCES = (
    r"""<(?:script|img|iframe|source|video|audio|object|embed)\b[^>]*\b(?:src|data)="(?:https?:)?//""",
    r"""<link\b(?![^>]*rel="(?:canonical|author)")[^>]*\bhref="(?:https?:)?//""",
    r"""url\(\s*["']?(?:https?:)?//""",
    r"""@import\s+["'](?:https?:)?//""",
)
REMOTE = re.compile(rf"""(?:{"|".join(_REMOTE_REFERENCES)})[^"')>\s]*""")
"""What makes a browser ask another host: links that a person clicks do not."""


def folder() -> Path:
    """The folder of the built site; its ``index.html`` exists once the site has been built."""
    return settings().run / "docs/site"


def build() -> Path:
    """Build the site and put it in place of the old one; return its folder.

    Raises:
        LocError: Sphinx cannot be installed, or cannot read the pages.
    """
    site = folder()
    with files.locked(private_folder(site.parent) / "lock"):
        new, old = site.with_name("new"), site.with_name("old")
        for path in (new, old):
            shutil.rmtree(path, ignore_errors=True)
        _sphinx(ROOT / "docs", new)
        if site.exists():
            site.rename(old)
        new.rename(site)
        shutil.rmtree(old, ignore_errors=True)
    return site


def check(pages: Path = ROOT / "docs") -> int:
    """Build the site in a folder that is then removed; return the number of its pages.

    Raises:
        LocError: a link between the pages is dead, a page is not in the index, a page is not valid,
            or a page asks another host for something.
    """
    with tempfile.TemporaryDirectory() as made:
        site = Path(made, "site")
        if faults := _sphinx(pages, site):
            raise LocError(
                f"The pages have {len(faults)} fault{'s' if len(faults) > 1 else ''}.",
                "\n".join(faults),
                "Correct them; a page is in the navigation if docs/README.md lists it.",
            )
        if requests := remote_requests(site):
            raise LocError(
                "The site asks another host for something.",
                "\n".join(requests),
                "Keep pictures, fonts and scripts in the repository.",
            )
        return len(list(site.glob("*.html")))


def remote_requests(site: Path) -> list[str]:
    """Return what makes a browser ask another host, with its file."""
    return [
        f"{path.relative_to(site)}: {match[0]}"
        for path in sorted(site.rglob("*"))
        if path.suffix in (".html", ".css", ".svg")
        for match in REMOTE.finditer(path.read_text())
    ]


def _sphinx(pages: Path, site: Path) -> list[str]:
    """Run Sphinx into an empty folder; return its warnings, each with file and line."""
    environments.sync("docs")
    command = [environment_folder("docs") / "bin/python", "-P", "-m", "sphinx", "-q", "-b", "html"]
    with tempfile.TemporaryDirectory() as trees:
        done = subprocess.run(
            [*command, "-c", CONFIGURATION, "-d", trees, pages, site],
            cwd=ROOT,
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
            capture_output=True,
            text=True,
        )
    lines = done.stderr.replace(f"{ROOT}/", "").splitlines()
    if done.returncode:
        raise LocError(
            "Sphinx cannot build the site.", "\n".join(lines), "Correct the page that it names."
        )
    shutil.copyfile(site / "README.html", site / "index.html")
    return lines
