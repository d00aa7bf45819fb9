"""The interface Cube, through its REST API."""

import time
from datetime import date

import httpx
from questions import Between, Equals, Filter, Question, key
from running import Running

from proto_loc.cube import client
from proto_loc.setup import node


class Cube(Running):
    """A running service ``cube`` that answers questions."""

    def __init__(self) -> None:
        super().__init__("cube")

    def __enter__(self) -> "Cube":
        node.install()
        return super().__enter__()

    def answers(self, question: Question) -> bool:
        return True

    def answer(self, question: Question) -> dict[str | None, object]:
        metric, time_name = (
            f"{question.model}.{question.metric}",
            f"{question.model}.{question.dimension}",
        )
        query: dict = {"measures": [metric], "timezone": "UTC"}
        if question.grain:
            query["timeDimensions"] = [{"dimension": time_name, "granularity": question.grain}]
        elif question.dimension:
            query["dimensions"] = [time_name]
        _filter(query, question.model, question.condition)
        rows = self._load(query)
        if question.grain:
            return {
                key(date.fromisoformat(row[f"{time_name}.{question.grain}"][:10])): row[metric]
                for row in rows
                if row[f"{time_name}.{question.grain}"]
            }
        return {row.get(time_name) if question.dimension else "": row[metric] for row in rows}

    def _load(self, query: dict) -> list[dict]:
        """Send the query again while Cube answers "Continue wait"."""
        end = time.monotonic() + 60
        while True:
            answer = httpx.post(
                f"{self.url}/cubejs-api/v1/load",
                json={"query": query},
                trust_env=False,
                timeout=60,
                headers={"authorization": client.token(client.ALL_ROWS)},
            )
            assert answer.status_code == 200, answer.text
            if "data" in (found := answer.json()):
                return found["data"]
            assert found.get("error") == "Continue wait" and time.monotonic() < end, answer.text


def _filter(query: dict, model: str, condition: Filter | None) -> None:
    match condition:
        case Equals():
            member = f"{model}.{condition.dimension}"
            query["filters"] = [
                {"member": member, "operator": "equals", "values": [condition.value]}
            ]
        case Between():
            times = query.setdefault(
                "timeDimensions", [{"dimension": f"{model}.{condition.dimension}"}]
            )
            times[0]["dateRange"] = [str(condition.first), str(condition.last)]
