"""The demonstration is told apart from what a person has added or changed."""

import pytest
from repositories import Fork

from proto_loc.errors import UsageError
from proto_loc.fork import removal


def test_what_came_goes_and_what_a_person_added_or_changed_is_named(fork: Fork):
    fork.write("dbt/models/mine.sql", "select 1 as one")
    fork.write("notebooks/demo.ipynb", "{1}")
    fork.commit("mine")
    fork.write("dbt/models/demo.sql", "select 3 as three")
    planned = removal.plan(fork.root)
    assert planned.files == ("dbt/seeds/demo.csv", "pipelines/demo/__init__.py")
    assert planned.changed == ("dbt/models/demo.sql", "notebooks/demo.ipynb")
    assert planned.own == ("dbt/models/mine.sql",)
    assert planned.sources == ("demo",)
    assert "the first commit" in planned.base


def test_what_is_compared_is_the_recorded_commit_or_the_remote_s_branch(fork: Fork, tmp_path):
    came = fork.git("rev-parse", "HEAD").strip()
    fork.write("dbt/seeds/demo.csv", "a\n9\n")
    fork.commit("changed, and the first commit is no longer what came")
    clone = Fork(tmp_path / "clone")
    clone.git("clone", "--quiet", str(fork.root), ".")
    planned = removal.plan(clone.root)
    assert planned.changed == () and "origin/HEAD" in planned.base
    removal.write_entries(clone.root / "fork.toml", upstream=came)
    planned = removal.plan(clone.root)
    assert planned.changed == ("dbt/seeds/demo.csv",) and "recorded in fork.toml" in planned.base


def test_a_file_of_a_tool_that_uses_what_goes_is_named(fork: Fork):
    chart, dashboard = "superset/bundle/charts/trips.yaml", "superset/bundle/dashboards/mine.yaml"
    cube, view = "cube/model/generated/rides.yml", "cube/model/mine.yml"
    fork.write(chart, "slice_name: Trips\nuuid: d7e35508-1bca\ndataset_uuid: 471d37dd-652e\n")
    fork.write(dashboard, "uuid: 1-2\nposition: {A: {meta: {uuid: d7e35508-1bca}}}\n")
    fork.write(cube, "cubes:\n  - name: rides\n    dimensions:\n      - name: day\n")
    fork.write(view, "views:\n  - name: v\n    cubes: [{join_path: rides, includes: [day]}]\n")
    fork.write("cube/model/other.yml", "cubes:\n  - name: brides # by day\n")
    own = (dashboard, view, "cube/model/other.yml")
    planned = removal.Plan(None, "", (chart,), (cube,), own, ())
    assert removal.broken(planned, root=fork.root) == {dashboard: chart, view: cube}
    assert removal.broken(planned, (cube,), root=fork.root) == {dashboard: chart}


def test_a_folder_without_git_is_refused(tmp_path):
    with pytest.raises(UsageError, match="git init"):
        removal.plan(tmp_path)


def test_entries_are_written_and_the_rest_of_the_file_stays(tmp_path):
    path = tmp_path / "fork.toml"
    path.write_text('# mine\nname = "shop"  # why\n\n[schedules]  # none yet\n')
    removal.write_entries(path, name="store", upstream="abc", demonstration=False)
    text = path.read_text()
    assert 'name = "store"  # why' in text and text.endswith("[schedules]  # none yet\n")
    assert removal.fork_file.read(path) == removal.fork_file.Fork("store", (), "abc", False)
