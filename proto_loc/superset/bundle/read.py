"""Reads the bundle's YAML files, with the line of each value."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

KINDS = ("databases", "datasets", "charts", "dashboards")


@dataclass
class Document:
    """A YAML file of the bundle."""

    name: str
    """Its path relative to the bundle."""
    content: dict
    lines: dict[tuple, int] = field(default_factory=dict)
    """The line of each value, by its keys and positions."""

    def at(self, *keys: object) -> str:
        """``file:line`` of the value at these keys, or of its nearest existing parent."""
        while keys not in self.lines and keys:
            keys = keys[:-1]
        return f"{self.name}:{self.lines.get(keys, 1)}"


@dataclass
class Files:
    """All files of a bundle, and the errors of those that cannot be read."""

    documents: dict[str, Document]
    faults: list[str]

    def of(self, kind: str) -> Iterator[Document]:
        """The files of one folder."""
        return (
            document for name, document in self.documents.items() if name.startswith(f"{kind}/")
        )

    def by_uuid(self, kind: str) -> dict[str, Document]:
        return {str(document.content.get("uuid")): document for document in self.of(kind)}


def read(folder: Path) -> Files:
    """Read every YAML file below ``folder``."""
    documents, faults = {}, []
    for path in sorted(folder.rglob("*.yaml")):
        name = str(path.relative_to(folder))
        try:
            loader = yaml.SafeLoader(path.read_text())
            node = loader.get_single_node()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            faults.append(
                f"{name}:{mark.line + 1 if mark else 1}: no YAML: {error.problem or error.context}"
            )
            continue
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            faults.append(f"{name}:1: no YAML: {error}")
            continue
        if not isinstance(node, yaml.MappingNode):
            faults.append(f"{name}:1: it must be a mapping")
            continue
        document = Document(name, {})
        faults += [
            f"{name}:{line}: the key {key!r} is there twice"
            for key, line in _lines(node, (), document.lines)
        ]
        document.content = loader.construct_document(node)
        documents[name] = document
    return Files(documents, faults)


def _lines(node: yaml.Node, keys: tuple, lines: dict[tuple, int]) -> Iterator[tuple[str, int]]:
    """Record the lines below a node; yield each duplicate key with its line."""
    lines[keys] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                yield key.value, key.start_mark.line + 1
            seen.add(key.value)
            yield from _lines(value, (*keys, key.value), lines)
            lines[(*keys, key.value)] = key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield from _lines(value, (*keys, number), lines)
