"""The interface Superset, through its chart-data API, on the datasets of the bundle."""

import json
import re
import subprocess
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx
import yaml
from questions import Between, Equals, Filter, Question, key
from running import Running

from proto_loc import credentials
from proto_loc.settings import ROOT

GRAINS = {"month": "P1M"}


class Superset(Running):
    """The service ``superset``; it is provisioned first."""

    def __init__(self) -> None:
        super().__init__("superset")
        self.http: httpx.Client | None = None

    def __enter__(self) -> "Superset":
        subprocess.run(
            [ROOT / "loc", "exec", "superset-provision"], check=True, capture_output=True
        )
        return super().__enter__()

    def __exit__(self, *_: object) -> None:
        if self.http:
            self.http.close()
        super().__exit__()

    def opened(self) -> None:
        self.http = httpx.Client(base_url=self.url, trust_env=False, timeout=60)
        self._log_in()
        self.datasets = {
            path.stem: yaml.safe_load(path.read_text())
            for path in (ROOT / "superset/bundle/datasets").glob("*.yaml")
        }
        listed = self.http.get("/api/v1/dataset/?q=(page_size:100)").json()["result"]
        self.ids = {each["table_name"]: each["id"] for each in listed}

    def answers(self, question: Question) -> bool:
        return True

    def answer(self, question: Question) -> dict[str | None, object]:
        dataset = self.datasets[question.model]
        time_name, columns = dataset["main_dttm_col"], []
        if question.grain:
            columns = [
                {
                    "columnType": "BASE_AXIS",
                    "expressionType": "SQL",
                    "label": "by",
                    "sqlExpression": time_name,
                    "timeGrain": GRAINS[question.grain],
                }
            ]
        elif question.dimension:
            columns = [
                {"expressionType": "SQL", "label": "by", "sqlExpression": question.dimension}
            ]
        answer = self.http.post(
            "/api/v1/chart/data",
            json={
                "datasource": {"id": self.ids[dataset["table_name"]], "type": "table"},
                "result_type": "full",
                "result_format": "json",
                "queries": [
                    {
                        "metrics": [question.metric],
                        "columns": columns,
                        "row_limit": 10_000,
                        "filters": _filters(question.condition, time_name),
                    }
                ],
            },
        )
        assert answer.status_code == 200, answer.text
        rows = json.loads(answer.text, parse_float=Decimal)["result"][0]["data"]
        return {self._by(row, question): row[question.metric] for row in rows}

    def _by(self, row: dict, question: Question) -> str | None:
        if question.grain and row["by"] is not None:
            return key(datetime.fromtimestamp(int(row["by"]) / 1000, UTC))
        return row["by"] if question.dimension else ""

    def _log_in(self) -> None:
        page = self.http.get("/login/").text.replace("&#34;", '"')
        token = re.search(r'csrf_token"?[^>]*?(?:value=|: )"([^"]+)"', page)[1]
        form = {
            "username": "admin",
            "password": credentials.secret("superset-admin"),
            "csrf_token": token,
        }
        answer = self.http.post("/login/", data=form)
        assert answer.status_code == 302 and "login" not in answer.headers["location"], (
            answer.headers,
            answer.text,
        )
        self.http.headers["X-CSRFToken"] = self.http.get("/api/v1/security/csrf_token/").json()[
            "result"
        ]


def _filters(condition: Filter | None, time_name: str) -> list[dict]:
    match condition:
        case Equals():
            return [{"col": condition.dimension, "op": "==", "val": condition.value}]
        case Between():  # the end of the range is exclusive
            days = f"{condition.first} : {condition.last + timedelta(days=1)}"
            return [{"col": time_name, "op": "TEMPORAL_RANGE", "val": days}]
    return []
