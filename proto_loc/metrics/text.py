"""Generated YAML: stable, readable, and no template to Cube."""

import re

import yaml

MARK = "# Made by `loc generate` from "
"""How each generated file begins."""


class _Dumper(yaml.SafeDumper):
    """Lists are indented under their key, and nothing is an alias."""

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
    """A YAML file that says where it comes from.

    Two braces, which Cube takes for a Jinja template wherever they stand in a file, are written as
    escapes.
    """
    body = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)
    body = _TEMPLATE.sub(
        lambda match: "".join(_ESCAPED.get(character, character) for character in match[0]), body
    )
    return f"{MARK}{source}; do not edit. See docs/metrics.md.\n{body}"
