"""Finds the license of each installed package as an SPDX expression; one without it is an error.

A package says its license in one of three ways: as an expression (PEP 639), in a field of free
text, or by classifiers. The last two may leave the version open (``BSD License``), and then the
text of the license that the package ships decides. Where all that is vague or contradicts itself,
``[licenses]`` in golden.toml has the license and the reason, from a person's review.
"""

import json
import re
from functools import cache
from importlib.metadata import Distribution, distributions
from pathlib import Path

from cyclonedx.spdx import fixup_id, is_expression

from proto_loc.errors import LocError
from proto_loc.setup.environments import golden
from proto_loc.setup.settle import normalized

NAMES = {
    r"mit( license)?|the mit license( \(mit\))?": "MIT",
    r"isc( license)?( \(iscl\))?": "ISC",
    r"apache([ -]license)?,?[ -]?(version )?v?2(\.0)?( license)?": "Apache-2.0",
    r"(new |modified )bsd( license)?|(the )?(3-clause bsd|bsd[ -]3-clause)( license)?": (
        "BSD-3-Clause"
    ),
    r"simplified bsd( license)?|(2-clause bsd|bsd[ -]2-clause)( license)?": "BSD-2-Clause",
    r"mozilla public license 2\.0( \(mpl 2\.0\))?|mpl[ -]2\.0": "MPL-2.0",
    r"psfl?|python software foundation license": "PSF-2.0",
    r"(the )?unlicense( \(unlicense\))?": "Unlicense",
    r"historical permission notice and disclaimer \(hpnd\)": "HPND",
    r"lgplv3\+|gnu lesser general public license v3 or later \(lgplv3\+\)": "LGPL-3.0-or-later",
}
"""How packages write a license, and which one it is without a doubt."""
FAMILIES = {"bsd": "BSD", "bsd license": "BSD", "apache software license": "Apache"}
"""How packages write a license of which there are several; its text decides."""
TITLE = 60
"""A field of free text that is longer has the text of a license, and not its name."""


def reviewed() -> dict[str, str]:
    """The licenses that a person has looked up, by the name of the package."""
    return {name: entry["spdx"] for name, entry in golden().get("licenses", {}).items()}


def check(environment: Path) -> dict[str, str]:
    """Return the license of each package of an environment, by its name.

    Raises:
        LocError: a package has no known license.
    """
    packages = {
        normalized(package.metadata["Name"]): package
        for package in distributions(path=[str(path) for path in site_packages(environment)])
    }
    names = sorted(packages)
    return dict(
        zip(names, known([(name, of_package(packages[name])) for name in names]), strict=True)
    )


def check_npm(lock: str) -> int:
    """Check the license of each package of a package-lock.json, and return how many it has.

    Raises:
        LocError: a package has no known license.
    """
    packages = [
        (path.rpartition("node_modules/")[2], entry.get("license", ""))
        for path, entry in json.loads(lock)["packages"].items()
        if path
    ]
    return len(known([(name, spdx if isinstance(spdx, str) else "") for name, spdx in packages]))


def site_packages(environment: Path) -> list[Path]:
    return list(environment.glob("lib/python3*/site-packages"))


def known(licenses: list[tuple[str, str]]) -> list[str]:
    """Return the licenses of packages; ``[licenses]`` is in place of what a package says.

    Args:
        licenses: the name of each package, and what it says.

    Raises:
        LocError: a license is not known; the message names each of these packages.
    """
    table = reviewed()
    decided = [(name, table.get(name, spdx)) for name, spdx in licenses]
    unknown = sorted({name for name, spdx in decided if not is_spdx(spdx)})
    if unknown:
        raise LocError(
            f"The license of {', '.join(unknown)} is not known.",
            "The package names none in its metadata, or it is vague there, and its text does not"
            " decide.",
            "Read the license in its source, then add a line to [licenses] in golden.toml:"
            f' "{unknown[0]}" = {{ spdx = "…", reason = "…" }}',
        )
    return [spdx for _, spdx in decided]


@cache
def is_spdx(spdx: str) -> bool:
    """Whether a text is an SPDX expression, with no name but those of SPDX's list."""
    return bool(spdx) and is_expression(spdx)


def of_package(package: Distribution) -> str:
    """The license of an installed package, or "" if it cannot be told."""
    fields = package.metadata
    if is_spdx(fields.get("License-Expression", "")):
        return fields["License-Expression"]
    title = (fields.get("License") or "").strip()
    if " OR " in title and is_spdx(title):
        return title
    classifiers = [
        text.rpartition(" :: ")[2]
        for text in fields.get_all("Classifier", [])
        if text.startswith("License :: ") and text != "License :: OSI Approved"
    ]
    if len(title) > TITLE or "\n" in title:
        texts = [title, *license_texts(package)]
        names = [*classifiers, title.partition("\n")[0].strip()]
    else:
        texts = license_texts(package)
        names = [*classifiers, title.rpartition(" :: ")[2]]
    named = {spdx for name in names if (spdx := named_license(name))}
    families = {FAMILIES[name.lower()] for name in names if name.lower() in FAMILIES}
    # "BSD" beside "BSD-3-Clause" is the same license, said less exactly.
    families -= {spdx.partition("-")[0] for spdx in named}
    told = named | {of_texts(texts, family) for family in families}
    if not told and texts:
        told = {of_texts(texts)}
    return told.pop() if len(told) == 1 else ""


def named_license(name: str) -> str:
    """The SPDX identifier of a license's name, or "" if the name leaves it open."""
    for pattern, spdx in NAMES.items():
        if re.fullmatch(pattern, name, re.IGNORECASE):
            return spdx
    if is_spdx(name):
        return name
    return fixup_id(name) or ""


def license_texts(package: Distribution) -> list[str]:
    """The texts of the licenses that a package ships among its metadata."""
    files = [
        file
        for file in package.files or ()
        if ".dist-info/" in str(file) and re.search(r"(?i)licen[cs]e|copying", file.name)
    ]
    return [
        Path(file.locate()).read_text(errors="replace") for file in files if file.locate().is_file()
    ]


def of_texts(texts: list[str], family: str = "") -> str:
    """The license that texts have in common with a family, if it is only one; else "".

    A text may add the licenses of what the package embeds; a family tells which one is its own.
    """
    licenses = {spdx for text in texts for spdx in of_text(text) if spdx.startswith(family)}
    return licenses.pop() if len(licenses) == 1 else ""


def of_text(text: str) -> set[str]:
    """The licenses of which a text has the words."""
    text = re.sub(r"[\s*#>]+", " ", text).lower()
    licenses = set()
    if "permission is hereby granted, free of charge, to any person obtaining a copy" in text:
        licenses.add("MIT")
    if re.search(r"apache license,? version 2\.0", text):
        licenses.add("Apache-2.0")
    for part in text.split("redistribution and use in source and binary forms")[1:]:
        if "advertising materials" in part:
            licenses.add("BSD-4-Clause")
        elif re.search(r"(neither|none of) the names? (of|nor)|names? of .{,120} may not be", part):
            licenses.add("BSD-3-Clause")
        else:
            licenses.add("BSD-2-Clause")
    if "permission to use, copy, modify, and/or distribute this software for any" in text:
        licenses.add("ISC")
    return licenses


def of_npm(entries: list[dict]) -> str:
    """The license of a component in the list that npm makes, or "" if it names none."""
    if len(entries) != 1:
        return ""
    entry = entries[0].get("license", {})
    return entries[0].get("expression") or entry.get("id") or entry.get("name") or ""
