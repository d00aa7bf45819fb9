"""A team's notebooks are in git, in notebooks/shared/, and without output."""

import json

import pytest
from repositories import Fork

from proto_loc import doctor
from proto_loc.doctor import fork as checks
from proto_loc.errors import UsageError
from proto_loc.fork import notebooks
from proto_loc.settings import ROOT


def notebook(**cell) -> str:
    return json.dumps({"cells": [{"cell_type": "code", "source": ["1"]} | cell], "nbformat": 4})


def test_the_place_is_tracked_and_the_private_one_is_not():
    from proto_loc.fork.repository import Repository

    repository = Repository(ROOT)
    for name, code in (("shared", 1), ("work", 0)):
        done = repository.run("check-ignore", "--quiet", f"notebooks/{name}/a.ipynb")
        assert done.returncode == code, name
    assert (ROOT / "notebooks/shared/README.md").exists()


def test_no_notebook_of_this_repository_holds_output():
    assert notebooks.with_output(ROOT) == []


def test_output_and_counts_are_found_in_every_tracked_place(fork: Fork):
    fork.write(".gitignore", "notebooks/work/\n")
    fork.write("notebooks/shared/clean.ipynb", notebook(outputs=[], execution_count=None))
    fork.write("notebooks/shared/deep/counted.ipynb", notebook(execution_count=3))
    for place in ("shared", "work"):
        fork.write(f"notebooks/{place}/printed.ipynb", notebook(outputs=[{"text": "1"}]))
    fork.write("notebooks/demo.ipynb", notebook())
    assert notebooks.with_output(fork.root) == [
        "notebooks/shared/deep/counted.ipynb",
        "notebooks/shared/printed.ipynb",
    ]
    fork.write("notebooks/shared/broken.ipynb", "{")
    with pytest.raises(UsageError, match=r"broken\.ipynb is no notebook"):
        notebooks.with_output(fork.root)


@pytest.mark.trouble("notebooks", "Git shows changes of notebooks that hold output")
def test_doctor_names_the_file_and_the_command_that_clears_it(fork: Fork, monkeypatch):
    fork.write("notebooks/demo.ipynb", notebook())
    fork.write("notebooks/shared/printed.ipynb", notebook(outputs=[{"text": "1"}]))
    monkeypatch.setattr(checks, "ROOT", fork.root)
    (finding,) = doctor.CHECKS["notebooks"]()
    assert finding.status == "warn" and "shared/printed.ipynb" in finding.what
    assert "--clear-output" in finding.fix
