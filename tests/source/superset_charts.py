"""Prints as JSON what the charts of a dashboard show; it runs in Superset's environment.

The clone is the current folder, and the argument is the dashboard's slug. Superset's own
application answers to Flask's test client; each chart is asked for its saved query.
"""

import json
import re
import sys

from superset.app import create_app

from proto_loc.credentials import secret
from proto_loc.settings import settings

ADDRESS = f"http://127.0.0.1:{settings().port('superset')}"


def main(slug: str) -> None:
    client = create_app().test_client()
    page = client.get("/login/", base_url=ADDRESS).text.replace("&#34;", '"')
    token = re.search(r'csrf_token"?[^>]*?(?:value=|: )"([^"]+)"', page)[1]
    form = {"username": "admin", "password": secret("superset-admin"), "csrf_token": token}
    client.post("/login/", base_url=ADDRESS, data=form)
    charts = client.get(f"/api/v1/dashboard/{slug}/charts", base_url=ADDRESS).json["result"]
    shown = {}
    for chart in charts:
        answer = client.get(f"/api/v1/chart/{chart['id']}/data/", base_url=ADDRESS)
        assert answer.status_code == 200, answer.text
        shown[chart["slice_name"]] = answer.json["result"][0]["data"]
    print(json.dumps(shown, default=str))


main(sys.argv[1])
