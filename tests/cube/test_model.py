"""An error in a model is reported with file and line; the last good model is served."""

from urllib.parse import unquote

import pytest
from servers import MODEL, Server, publish

pytestmark = pytest.mark.xdist_group("cube")
TRIPS = {"measures": ["trips.trips"]}

WRONG = {
    "yaml": ("cubes:\n  - name: a\n     sql_table: t\n", "more/wrong.yml:3: "),
    "type": (
        (
            "cubes:\n  - name: a\n    sql_table: t\n    measures:\n      - name: m\n        type:"
            " cont\n"
        ),
        "more/wrong.yml:6: a cube: (measures.m.type = cont) must be one of",
    ),
    "key": ("cubes:\n  - name: a\n    sql_tabl: t\n", "more/wrong.yml:3: a cube: "),
    "missing": (
        (
            "cubes:\n  - name: a\n    sql_table: t\n    dimensions:\n      - name: x\n        type:"
            " string\n"
        ),
        "more/wrong.yml:5: a cube: ",
    ),
    "reference": (
        (
            "cubes:\n  - name: a\n    sql_table: t\n    measures:\n      - { name: m, type: number,"
            " sql: '{nowhere}' }\n"
        ),
        "more/wrong.yml:5: nowhere is not defined",
    ),
    "name twice": (
        "cubes:\n  - { name: trips, sql_table: t }\n",
        "Found duplicate cube name 'trips'",
    ),
    "brace": (
        "cubes:\n  - name: a\n    sql: 'select {CUBE.x'\n",
        "more/wrong.yml:3: Failed to parse",
    ),
    "top": ("cube:\n  - name: a\n", "more/wrong.yml:1: Unexpected YAML key: cube"),
}


@pytest.fixture
def model(tmp_path, data):
    folder = tmp_path / "model"
    (folder / "more").mkdir(parents=True)
    (folder / "trips.yml").write_text(MODEL)
    publish()
    return folder


def test_each_mistake_is_told_with_its_place_while_the_last_good_model_is_served(model):
    wrong = model / "more/wrong.yml"
    with Server(model) as made:
        for name, (text, place) in WRONG.items():
            wrong.write_text(text)
            answer = made.ask(TRIPS)
            assert answer.status_code == 200, f"{name}: {answer.text}"
            assert place in unquote(answer.headers["x-model-error"]), name
            ready = made.http.get("/readyz")
            assert (ready.status_code, ready.json()["status"]) == (200, "an old model"), name
            assert (
                place in ready.json()["model"]["error"]
                and ready.json()["model"]["serving"] == "the last good model"
            )
        for _, place in WRONG.values():
            assert place.replace('"', '\\"') in made.log()
        wrong.write_text(
            "cubes:\n  - { name: more, sql_table: marts.trips, measures: [{ name: n, type: count"
            " }] }\n"
        )
        assert made.rows({"measures": ["more.n"]}) == [{"more.n": "1000"}]
        assert "model" not in made.http.get("/readyz").json()
        assert "x-model-error" not in made.ask(TRIPS).headers
        wrong.unlink()
        assert made.ask({"measures": ["more.n"]}).status_code == 400


def test_a_changed_definition_is_followed_by_rest_by_graphql_and_by_meta(model):
    with Server(model) as made:
        assert made.trips() == 1000
        ask = {"query": "{ cube { trips { trips twice } } }"}
        assert "errors" in made.post("/cubejs-api/graphql", ask).json()
        more = "      - { name: twice, sql: '{revenue} * 2', type: number }\n    segments:"
        (model / "trips.yml").write_text(MODEL.replace("    segments:", more))
        assert made.rows({"measures": ["trips.twice"]}) == [{"trips.twice": "200"}]
        found = made.post("/cubejs-api/graphql", ask).json()
        assert found["data"]["cube"] == [{"trips": {"trips": 1000, "twice": 200}}]
        headers = {"authorization": made_token()}
        meta = made.http.get("/cubejs-api/v1/meta", headers=headers).json()
        assert "trips.twice" in [measure["name"] for measure in meta["cubes"][0]["measures"]]


def test_without_any_good_model_it_is_not_ready_and_says_why_to_who_asks(model):
    (model / "trips.yml").write_text(WRONG["type"][0])
    with Server(model) as made:
        ready = made.http.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "no model")
        answer = made.ask(TRIPS)
        assert answer.status_code >= 400 and "trips.yml:6: a cube" in answer.json()["error"]
        (model / "trips.yml").write_text(MODEL)
        assert made.trips() == 1000
        assert made.http.get("/readyz").status_code == 200


def test_a_fork_without_metrics_has_no_folder_of_a_model_and_becomes_ready(model):
    """Bug: git keeps no empty folder, so that Cube was never ready in such a fork, and restarted
    for ever.
    """
    with Server(model.parent / "nothing") as made:
        ready = made.http.get("/readyz")
        assert (ready.status_code, "model" in ready.json()) == (200, False), ready.text
        meta = made.http.get("/cubejs-api/v1/meta", headers={"authorization": made_token()})
        assert meta.json()["cubes"] == []


def test_hand_written_files_stand_beside_generated_ones(tmp_path, data):
    """The example of docs/metrics.md works unchanged beside the model of this repository."""
    import re
    import shutil

    from proto_loc.settings import ROOT

    shutil.copytree(ROOT / "cube/model", tmp_path / "model")
    text = (ROOT / "docs/metrics.md").read_text()
    (example,) = re.findall(r"^```yaml\n(cubes:\n.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (tmp_path / "model/own.yml").write_text(example)
    with Server(tmp_path / "model") as made:
        ready = made.http.get("/readyz")
        assert ready.status_code == 200 and "model" not in ready.json(), ready.text


def made_token() -> str:
    from servers import token

    return token()
