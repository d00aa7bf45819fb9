"""Cube measures its queries, and shows the figures to a token that sees all rows."""

from servers import token

from proto_loc.monitoring import latencies


def test_queries_are_counted_by_outcome_and_shown_to_the_user_only(server, monkeypatch):
    assert server.ask({"measures": ["trips.trips"]}, all_rows=True).status_code == 200
    assert server.ask({"measures": ["trips.nothing"]}, all_rows=True).status_code == 400
    monkeypatch.setenv("LOC_CUBE_PORT", str(server.port))
    monkeypatch.delenv("LOC_PORT_PREFIX", raising=False)
    counts = {
        (sample.labels["api"], sample.labels["outcome"]): sample.value
        for family in latencies.cube()
        for sample in family.samples
        if sample.name == "loc_cube_query_seconds_count"
    }
    assert counts["rest", "answered"] >= 1 and counts["rest", "refused"] >= 1
    limited = {"authorization": f"Bearer {token(boroughs=['Queens'])}"}
    assert server.http.get("/metrics", headers=limited).status_code == 403
    assert server.http.get("/metrics").status_code == 403


def test_a_cube_that_is_down_is_no_fault(small, monkeypatch):
    monkeypatch.setenv("LOC_CUBE_PORT", "1024")
    assert latencies.cube() == []
