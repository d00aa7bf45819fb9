"""The bill of materials of each environment: complete, valid, and with known licenses."""

import json
from importlib.metadata import PathDistribution, distributions
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from installed import environment_folder

from proto_loc.errors import LocError
from proto_loc.settings import ROOT
from proto_loc.setup import licenses, node, sbom
from proto_loc.setup.environments import golden, names
from proto_loc.setup.locks import entries
from proto_loc.setup.settle import normalized

MIT = "Permission is hereby granted, free of charge, to any person obtaining a copy"
BSD = "Redistribution and use in source and binary forms, with or without\nmodification"
THREE = f"{BSD}\nNeither the name of the author nor the\nnames of contributors"
OSI = "Classifier: License :: OSI Approved ::"
APACHE = "Apache License\n   Version 2.0, January 2004"


def packages(name: str) -> dict[str, PathDistribution]:
    paths = [str(path) for path in licenses.site_packages(environment_folder(name))]
    return {normalized(package.metadata["Name"]): package for package in distributions(path=paths)}


def unreached(bill: dict) -> set[str]:
    """The packages that nothing needs."""
    needs = {entry["ref"]: entry.get("dependsOn", []) for entry in bill["dependencies"]}
    todo, seen = [bill["metadata"]["component"]["bom-ref"]], set()
    while todo:
        reference = todo.pop()
        if reference not in seen:
            seen.add(reference)
            todo += needs.get(reference, [])
    return {component["bom-ref"] for component in bill["components"]} - seen


@pytest.mark.parametrize("name", names())
def test_bill_of_an_environment(name):
    """Each installed package is in it, with a hash that the lock allows, and something needs it."""
    installed = packages(name)
    text = sbom.text(name)
    bill = json.loads(text)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    components = {component["name"]: component for component in bill["components"]}
    assert components.keys() == {*installed, "python"}
    locked = entries((ROOT / f"locks/{name}.txt").read_text()) | entries(
        (ROOT / "locks/build.txt").read_text()
    )
    for package, component in components.items():
        assert component["licenses"] and component["purl"], package
        if package != "python":
            assert component["version"] == installed[package].version
            (checksum,) = component["hashes"]
            assert f"--hash=sha256:{checksum['content']}" in locked[package], package
    assert unreached(bill) == set()


def test_same_environment_gives_the_same_text():
    packages("docs")
    assert sbom.text("docs") == sbom.text("docs")


def test_needs_follow_extras():
    """dlt needs pyarrow only for the extra that golden.toml asks for."""
    packages("dlt")
    bill = json.loads(sbom.text("dlt"))
    needs = {entry["ref"]: entry.get("dependsOn", []) for entry in bill["dependencies"]}
    (dlt,) = (reference for reference in needs if reference.startswith("pkg:pypi/dlt@"))
    assert any(need.startswith("pkg:pypi/pyarrow@") for need in needs[dlt])
    assert not any("boto3" in need for need in needs[dlt])


def test_bill_of_cube():
    text = sbom.text("cube")
    bill = json.loads(text)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    components = {component["bom-ref"]: component for component in bill["components"]}
    lock = json.loads((node.CUBE / "package-lock.json").read_text())["packages"]
    locked = {
        (path.rpartition("node_modules/")[2], entry["version"])
        for path, entry in lock.items()
        if path
    }
    assert {(entry["name"], entry["version"]) for entry in components.values()} == locked
    assert all(entry["licenses"] and entry["hashes"] for entry in components.values())
    assert unreached(bill) == set()


def test_bill_of_the_tools():
    """Each tool of golden.toml is in it, except Python, Node and Java, which are a series there."""
    bill = json.loads(sbom.text("tools"))
    tools = golden()["tools"].keys() - {"python", "node", "java"}
    found = {component["name"].removesuffix("-bin") for component in bill["components"]}
    assert found == tools
    (release,) = (entry for entry in bill["components"] if entry["name"] == "process-compose")
    assert len(release["hashes"]) == len(golden()["tools"]["process-compose"]["sha256"])


def package(folder: Path, fields: str, **texts: str) -> PathDistribution:
    """An installed package with these fields of metadata and texts of licenses."""
    info = folder / "lib/python3.11/site-packages/vague-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vague\nVersion: 1.0\n{fields}\n")
    for name, text in texts.items():
        (info / f"LICENSE.{name}").write_text(text)
    rows = [f"{info.name}/{path.name},," for path in info.iterdir()]
    (info / "RECORD").write_text("\n".join(rows) + "\n")
    return PathDistribution(info)


@pytest.mark.parametrize(
    ("fields", "texts", "expected"),
    [
        ("License-Expression: MIT OR Apache-2.0", {}, "MIT OR Apache-2.0"),
        ("License-Expression: as you like", {}, ""),
        ("License: Apache 2.0", {}, "Apache-2.0"),
        ("License: MIT OR Apache-2.0", {"m": MIT, "a": APACHE}, "MIT OR Apache-2.0"),
        ("License: BSD", {"t": THREE}, "BSD-3-Clause"),
        ("License: BSD", {"t": BSD}, "BSD-2-Clause"),
        ("License: BSD", {"t": f"{THREE}\n{BSD}"}, ""),
        ("License: BSD", {}, ""),
        (f"License: BSD-3-Clause\n{OSI} BSD License", {}, "BSD-3-Clause"),
        (f"{OSI} Apache Software License", {"t": f"{APACHE}\n{MIT}"}, "Apache-2.0"),
        (f"License: MIT License\n{OSI} Apache Software License", {"t": APACHE}, ""),
        ("License: LGPL", {}, ""),
        ("License: UNKNOWN", {"t": MIT}, "MIT"),
        ("", {}, ""),
    ],
)  # fmt: skip
def test_license_of_a_package(fields, texts, expected, tmp_path):
    assert licenses.of_package(package(tmp_path, fields, **texts)) == expected


def test_unknown_license_names_the_package(tmp_path, monkeypatch):
    package(tmp_path, "License: see website")
    with pytest.raises(LocError) as raised:
        licenses.check(tmp_path)
    assert raised.value.what == "The license of vague is not known."
    assert '"vague" = { spdx = "…", reason = "…" }' in str(raised.value)
    monkeypatch.setattr(licenses, "reviewed", lambda: {"vague": "Zlib"})
    assert licenses.check(tmp_path) == {"vague": "Zlib"}


def test_unknown_license_of_an_npm_package():
    lock = {"packages": {"": {}, "node_modules/a/node_modules/@b/vague": {"version": "1.0.0"}}}
    with pytest.raises(LocError) as raised:
        licenses.check_npm(json.dumps(lock))
    assert raised.value.what == "The license of @b/vague is not known."


def test_each_reviewed_license_is_needed():
    """A line goes when the package says its license clearly, or is no longer there."""
    said = {name: set() for name in licenses.reviewed()}
    for environment in names():
        for name, installed in packages(environment).items():
            if name in said:
                said[name].add(licenses.of_package(installed))
    lock = json.loads((node.CUBE / "package-lock.json").read_text())["packages"]
    for path, entry in lock.items():
        if (name := path.rpartition("node_modules/")[2]) in said:
            said[name].add(entry.get("license", ""))
    tools = {entry["name"] for entry in json.loads(sbom.text("tools"))["components"]}
    assert {name for name, licenses in said.items() if "" not in licenses} == tools
    entries = golden()["licenses"].values()
    assert all(licenses.is_spdx(entry["spdx"]) and entry["reason"] for entry in entries)
