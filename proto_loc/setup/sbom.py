"""Makes a bill of materials (SBOM) of each environment: CycloneDX 1.6, as JSON.

It has each package with its version, license, hashes and what it needs. It is the same text for
the same environment: no time, and a serial number that comes from the content.
"""

import json
import platform
import sys
import tempfile
import tomllib
import uuid
from importlib.metadata import Distribution, distributions
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.contrib.this.builders import this_component
from cyclonedx.model import (
    ExternalReference,
    ExternalReferenceType,
    HashAlgorithm,
    HashType,
    Property,
    XsUri,
)
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseAcknowledgement
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import parse_sdist_filename, parse_wheel_filename

from proto_loc.errors import LocError
from proto_loc.settings import ROOT, environment_folder
from proto_loc.setup import environments, licenses, locks, nix_lock, node
from proto_loc.setup.environments import golden
from proto_loc.setup.settle import normalized

VERSION = SchemaVersion.V1_6
TOOLS = "tools"
CUBE = "cube"
SOURCES = {
    "actionlint": ("github", "rhysd"),
    "deadnix": ("cargo", None),
    "nessie": ("maven", "org.projectnessie.nessie"),
    "nix": ("github", "nixos"),
    "nixfmt_rs": ("cargo", None),
    "process-compose": ("github", "f1bonacc1"),
    "trino-server": ("maven", "io.trino"),
}
"""Where the tools of golden.toml come from that have no lock."""


def names() -> list[str]:
    """What has a bill of materials: the environments, Cube's packages, and the tools."""
    return [*environments.names(), *([CUBE] if "npm" in golden() else []), TOOLS]


def text(name: str) -> str:
    """The bill of materials of an installed environment, of Cube, or of the tools.

    Raises:
        LocError: a license is not known, or npm failed.
    """
    if name == TOOLS:
        bom = of_tools()
    elif name == CUBE:
        bom = of_cube()
    else:
        bom = of_environment(name)
    return _text(bom)


def of_environment(name: str) -> Bom:
    """The packages that are installed in an environment, and the Python that runs them."""
    folder = environment_folder(name)
    licenses_by_name = licenses.check(folder)
    archives = _archives(name)
    packages = {
        normalized(package.metadata["Name"]): package
        for package in distributions(path=[str(path) for path in licenses.site_packages(folder)])
    }
    components = {
        package: _component(
            package,
            packages[package].version,
            spdx,
            PackageURL("pypi", None, package, packages[package].version),
            archives.get((package, packages[package].version)),
        )
        for package, spdx in licenses_by_name.items()
    }
    components["python"] = _python()
    bom = _bom(name)
    bom.components.update(components.values())
    roots = [Requirement(line) for line in locks.requirements()[name]]
    # setuptools is of the lock `build`, beside the packages that are built with it.
    built = [Requirement(line) for line in locks.requirements()["build"]]
    needs = _needs(packages, [*roots, *built])
    for package, component in components.items():
        bom.register_dependency(
            component, [components[need] for need in sorted(needs.get(package, ()))]
        )
    top = {normalized(root.name) for root in [*roots, *built]} & components.keys()
    bom.register_dependency(
        bom.metadata.component, [components[package] for package in sorted({*top, "python"})]
    )
    return bom


def _needs(packages: dict[str, Distribution], roots: list[Requirement]) -> dict[str, set[str]]:
    """The packages that each package needs, with the extras that somebody asks of it."""
    needs: dict[str, set[str]] = {}
    seen: set[tuple[str, str]] = set()
    todo = [(normalized(root.name), extra) for root in roots for extra in ("", *root.extras)]
    while todo:
        package, extra = todo.pop()
        if (package, extra) in seen or package not in packages:
            continue
        seen.add((package, extra))
        wanted = needs.setdefault(package, set())
        for requirement in map(Requirement, packages[package].requires or ()):
            need = normalized(requirement.name)
            if need not in packages or need == package:
                continue
            if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
                continue
            wanted.add(need)
            todo += [(need, more) for more in ("", *requirement.extras)]
    return needs


def _archives(name: str) -> dict[tuple[str, str], tuple[str, str]]:
    """The file and the SHA-256 of each package of a lock on this system, by name and version."""
    archives = json.loads(nix_lock.path(name).read_text())["archives"]
    result = {}
    for file, digest in (archives["all"] | archives.get(_system(), {})).items():
        parse = parse_wheel_filename if file.endswith(".whl") else parse_sdist_filename
        package, version = parse(file)[:2]
        result[normalized(package), str(version)] = (file, digest)
    return result


def _component(
    name: str,
    version: str,
    spdx: str,
    purl: PackageURL,
    archive: tuple[str, str] | None = None,
    kind: ComponentType = ComponentType.LIBRARY,
) -> Component:
    component = Component(
        name=name,
        version=version,
        type=kind,
        purl=purl,
        bom_ref=str(purl),
        licenses=[_license(name, spdx)],
    )
    if archive:
        file, digest = archive
        checksum = HashType(alg=HashAlgorithm.SHA_256, content=digest)
        component.hashes.add(checksum)
        component.external_references.add(
            ExternalReference(
                type=ExternalReferenceType.DISTRIBUTION, url=XsUri(file), hashes=[checksum]
            )
        )
    return component


def _license(name: str, spdx: str):
    """A license of CycloneDX: said by the package, or concluded by a person."""
    reviewed = name in licenses.reviewed()
    return LicenseFactory().make_from_string(
        spdx,
        license_acknowledgement=LicenseAcknowledgement.CONCLUDED
        if reviewed
        else LicenseAcknowledgement.DECLARED,
    )


def _bom(name: str) -> Bom:
    """An empty bill of materials, with what it describes and the system that it describes."""
    bom = Bom()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    bom.metadata.component = Component(
        name=f"proto_loc {name}", version=version, type=ComponentType.APPLICATION, bom_ref=name
    )
    bom.metadata.tools.components.add(this_component())
    bom.metadata.properties.add(Property(name="proto_loc:system", value=_system()))
    return bom


def _system() -> str:
    """The name of this system, as the flake and ``locks/*.json`` have it."""
    return f"{platform.machine().replace('arm64', 'aarch64')}-{sys.platform}"


def _python() -> Component:
    version = platform.python_version()
    return _component(
        "python",
        version,
        "PSF-2.0",
        PackageURL("generic", None, "python", version),
        kind=ComponentType.PLATFORM,
    )


def of_tools() -> Bom:
    """The tools of golden.toml: those that set-up fetches, and those of the tests and of CI."""
    tools = golden()["tools"]
    packages = {
        package: PackageURL("pypi", None, package, version)
        for lock in _tool_locks()
        for package, version in _pins(lock).items()
    }
    for name, (kind, owner) in SOURCES.items():
        version = tools[name]["version"] if isinstance(tools[name], dict) else tools[name]
        packages[name] = PackageURL(kind, owner, name, version)
    known = licenses.known([(name, "") for name in packages])
    bom = _bom(TOOLS)
    for (name, purl), spdx in zip(packages.items(), known, strict=True):
        component = _component(name, purl.version, spdx, purl, kind=ComponentType.APPLICATION)
        component.hashes.update(
            HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in _digests(name)
        )
        bom.components.add(component)
    bom.register_dependency(bom.metadata.component, list(bom.components))
    return bom


def _tool_locks() -> list[str]:
    """The locks of tools: those that are neither an environment nor what builds packages."""
    return [name for name in locks.requirements() if name not in (*environments.names(), "build")]


def _pins(lock: str) -> dict[str, str]:
    """The versions of a lock's packages."""
    entries = locks.entries((ROOT / f"locks/{lock}.txt").read_text())
    return {name: entry.partition("==")[2].split()[0] for name, entry in entries.items()}


def _digests(tool: str) -> list[str]:
    """The SHA-256 of each file of a tool that set-up accepts, one for each system."""
    pinned = golden()["tools"].get(tool)
    if isinstance(pinned, dict):
        digests = pinned["sha256"]
        return [digests] if isinstance(digests, str) else sorted(digests.values())
    digests = []
    for lock in _tool_locks():
        entry = locks.entries((ROOT / f"locks/{lock}.txt").read_text()).get(tool, "")
        digests += [word.partition("sha256:")[2] for word in entry.split() if "sha256:" in word]
    return sorted(digests)


def of_cube() -> Bom:
    """Cube's npm packages, as npm lists those of package-lock.json.

    Raises:
        LocError: npm cannot read the lock, or a license is not known.
    """
    listed = _npm_sbom()
    known = licenses.known(
        [
            (entry["name"], licenses.of_npm(entry.get("licenses", [])))
            for entry in listed["components"]
        ]
    )
    bom = _bom(CUBE)
    components = {}
    for entry, spdx in zip(listed["components"], known, strict=True):
        component = _component(
            entry["name"],
            entry["version"],
            spdx,
            PackageURL.from_string(entry["purl"]),
        )
        component.hashes.update(
            HashType(alg=HashAlgorithm(checksum["alg"]), content=checksum["content"])
            for checksum in entry.get("hashes", [])
        )
        components[entry["bom-ref"]] = component
        bom.components.add(component)
    root = listed["metadata"]["component"]["bom-ref"]
    for entry in listed["dependencies"]:
        owner = bom.metadata.component if entry["ref"] == root else components[entry["ref"]]
        bom.register_dependency(owner, [components[need] for need in entry["dependsOn"]])
    return bom


def _npm_sbom() -> dict:
    """What npm's own ``npm sbom`` says of the lock; it works only for a package with a version."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", "package-lock.json"):
            content = json.loads((node.CUBE / name).read_text()) | {"version": "0.0.0"}
            if "packages" in content:
                content["packages"][""]["version"] = content["version"]
            Path(folder, name).write_text(json.dumps(content))
        done = node.npm("sbom", "--sbom-format=cyclonedx", "--package-lock-only", cwd=Path(folder))
    if done.returncode:
        raise LocError(
            "npm cannot list Cube's packages.",
            done.stderr.strip(),
            "Mend what npm names above; ./loc lock makes its lock again.",
        )
    return json.loads(done.stdout)


def _text(bom: Bom) -> str:
    """The JSON of a bill of materials, checked against the schema of CycloneDX.

    Raises:
        LocError: it does not follow the schema.
    """
    content = json.loads(make_outputter(bom, OutputFormat.JSON, VERSION).output_as_string())
    del content["metadata"]["timestamp"], content["serialNumber"]
    body = json.dumps(content, sort_keys=True)
    content["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, body)}"
    text = json.dumps(content, indent=1, sort_keys=True) + "\n"
    if error := JsonStrictValidator(VERSION).validate_str(text):
        raise LocError(
            f"The bill of materials does not follow CycloneDX {VERSION.to_version()}.",
            str(error),
            "Report this as an issue of this repository.",
        )
    return text
