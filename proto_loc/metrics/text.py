"""Writes generated YAML: stable, readable, and free of Cube's template syntax."""

import re

import yaml

MARK = "# Made by `loc generate` from "
"""Beginning of each generated file."""


class _Dumper(yaml.SafeDumper):
    """Indents lists under their key, and writes no aliases."""

    def increase_indent(self, flow=False, indentless=False):
        return super().increase_indent(flow, False)

    def ignore_aliases(self, data):
        return True


_Dumper.add_representer(
    str,
    # Double quotes where a brace needs an escape below.
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style='"' if _TEMPLATE.search(text) else None
    ),
)
_TEMPLATE = re.compile(r"\{[{%#]|[}%]\}")
_ESCAPED = {"{": "\\x7B", "}": "\\x7D"}


def dump(content: dict, source: str) -> str:
    """A YAML file whose first line names its source.

    Double braces are escaped: Cube reads them as a Jinja template anywhere in a file.
    """
    body = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)
    body = _TEMPLATE.sub(
        lambda match: "".join(_ESCAPED.get(character, character) for character in match[0]), body
    )
    return f"{MARK}{source}; do not edit. See docs/metrics.md.\n{body}"
