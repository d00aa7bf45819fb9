"""Prints as JSON the rows that people with given roles see; it runs in Superset's environment.

The clone is the current folder. The people come from stdin as JSON, a list of roles by name. The
output has the answer to each person's chart: its status, and orders by country. Superset's own
application answers to Flask's test client.
"""

import json
import re
import sys

from flask.testing import FlaskClient
from superset.app import create_app

from proto_loc.settings import settings

ADDRESS = f"http://127.0.0.1:{settings().port('superset')}"


def main() -> None:
    app = create_app()
    rows = {}
    for name, roles in json.load(sys.stdin).items():
        with app.app_context():
            add_person(name, roles)
            dataset = find_dataset()
        rows[name] = chart(log_in(app, name), dataset)
    print(json.dumps(rows))


def add_person(name: str, roles: list[str]) -> None:
    from superset import security_manager as manager

    email = f"{name}@localhost.invalid"
    roles = [manager.find_role(role) for role in roles]
    assert all(roles) and manager.add_user(name, name, "Test", email, roles, password=name)


def find_dataset() -> int:
    from superset.connectors.sqla.models import SqlaTable
    from superset.extensions import db

    return db.session.query(SqlaTable).filter_by(table_name="mart_orders").one().id


def log_in(app, name: str) -> FlaskClient:
    client = app.test_client()
    page = client.get("/login/", base_url=ADDRESS).text.replace("&#34;", '"')
    token = re.search(r'csrf_token"?[^>]*?(?:value=|: )"([^"]+)"', page)[1]
    form = {"username": name, "password": name, "csrf_token": token}
    answer = client.post("/login/", base_url=ADDRESS, data=form)
    assert answer.status_code == 302 and "login" not in answer.headers["location"], answer.text
    return client


def chart(client: FlaskClient, dataset: int) -> list:
    """Return the chart's answer: its status, and its rows or the error."""
    token = client.get("/api/v1/security/csrf_token/", base_url=ADDRESS).json["result"]
    answer = client.post(
        "/api/v1/chart/data",
        base_url=ADDRESS,
        headers={"X-CSRFToken": token},
        json={
            "datasource": {"id": dataset, "type": "table"},
            "queries": [{"metrics": ["order_count"], "columns": ["country"]}],
            "result_format": "json",
            "result_type": "full",
        },
    )
    if answer.status_code != 200:
        return [answer.status_code, answer.text]
    rows = answer.json["result"][0]["data"]
    return [200, [[row["country"], row["order_count"]] for row in rows]]


main()
