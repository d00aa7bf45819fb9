"""A platform without content starts, and says what to do."""

import pytest
from clone import Clone
from test_words import domain_words

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(300)]


@pytest.mark.parametrize("command", [("refresh", "--direct"), ("first-load",), ("generate",)])
def test_a_platform_without_a_source_passes_and_says_what_to_do(bare: Clone, command):
    done = bare.loc(*command)
    if command != ("generate",):
        assert "pipelines/" in done.stdout + done.stderr
    assert domain_words(done.stdout + done.stderr) == []


def test_its_definitions_are_in_order(bare: Clone):
    bare.loc("generate", "--check")


def test_a_load_of_a_source_that_is_absent_names_what_is_there(bare: Clone):
    done = bare.loc("load", "shop", check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "pipelines/" in done.stderr


def test_superset_is_provisioned_without_a_dashboard(bare: Clone):
    bare.loc("exec", "superset-provision")
