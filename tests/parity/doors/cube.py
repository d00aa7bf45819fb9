"""Cube's REST API."""

import time
from datetime import date

import httpx
from questions import Between, Equals, Filter, Question, key
from running import Running

from proto_loc import cube, node


class Cube(Running):
    """The service ``cube``."""

    def __init__(self) -> None:
        super().__init__("cube")

    def __enter__(self) -> "Cube":
        node.install()
        return super().__enter__()

    def answers(self, question: Question) -> bool:
        return True

    def answer(self, question: Question) -> dict[str | None, object]:
        metric, time_name = f"{question.model}.{question.metric}", f"{question.model}.{question.dimension}"
        query: dict = {"measures": [metric], "timezone": "UTC"}
        if question.grain:
            query["timeDimensions"] = [{"dimension": time_name, "granularity": question.grain}]
        elif question.dimension:
            query["dimensions"] = [time_name]
        _filter(query, question.model, question.filter)
        rows = self._load(query)
        if question.grain:
            return {
                key(date.fromisoformat(row[f"{time_name}.{question.grain}"][:10])): row[metric]
                for row in rows
                if row[f"{time_name}.{question.grain}"]
            }
        return {row.get(time_name) if question.dimension else "": row[metric] for row in rows}

    def _load(self, query: dict) -> list[dict]:
        """Ask until the answer is there: Cube says "Continue wait" while it still works."""
        end = time.monotonic() + 60
        while True:
            answer = httpx.post(
                f"{self.url}/cubejs-api/v1/load", json={"query": query}, trust_env=False, timeout=60,
                headers={"authorization": cube.token(cube.ALL_ROWS)},
            )  # fmt: skip
            assert answer.status_code == 200, answer.text
            if "data" in (found := answer.json()):
                return found["data"]
            assert found.get("error") == "Continue wait" and time.monotonic() < end, answer.text


def _filter(query: dict, model: str, filter: Filter | None) -> None:
    match filter:
        case Equals():
            member = f"{model}.{filter.dimension}"
            query["filters"] = [{"member": member, "operator": "equals", "values": [filter.value]}]
        case Between():
            times = query.setdefault("timeDimensions", [{"dimension": f"{model}.{filter.dimension}"}])
            times[0]["dateRange"] = [str(filter.first), str(filter.last)]
