"""Sphinx's configuration for the site that ``loc docs build`` makes of ``docs/``.

It runs in the environment ``docs``, which has Sphinx, MyST and furo, and no platform.
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
_project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

_fork = ROOT / "fork.toml"
_named = tomllib.loads(_fork.read_text()) if _fork.exists() else {}
project = _named.get("name") or _project["name"]
release = version = _project["version"]
extensions = ["myst_parser"]
root_doc = "README"  # so that the repository's own pages show it as the index of the folder
source_suffix = {".md": "markdown"}
myst_heading_anchors = 4
smartquotes = False
nitpicky = True
suppress_warnings = ["misc.highlighting_failure"]  # SQL with Jinja in it
highlight_language = "text"
language = "en"

html_theme = "furo"  # fonts of the system: a page asks no other host for anything
html_title = project
html_show_sourcelink = html_copy_source = html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}
html_static_path = ["static"]
html_css_files = ["site.css"]
html_favicon = "static/icon.svg"


def add_navigation(_app: object, page: str, source: list[str]) -> None:
    """Turn the lists of the index into the navigation; the heading of a list is its caption."""
    if page != root_doc:
        return
    sections = re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", source[0], re.MULTILINE | re.DOTALL)
    for caption, section in sections:
        pages = re.findall(r"^- \[[^]]*\]\(([\w-]+)\.md\)", section, re.MULTILINE)
        if pages:
            listed = "\n".join(pages)
            source[0] += f"\n\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{listed}\n```\n"


def setup(app) -> None:  # Sphinx calls it
    app.connect("source-read", add_navigation)
