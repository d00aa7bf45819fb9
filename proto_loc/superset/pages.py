"""Mends of Superset's pages that no setting of the release offers.

- The pages load a picture by which Scarf counts visitors. The content security policy refuses it,
  and the browser reports every page as faulty. The script is served with an empty picture.
- The tables of SQL Lab and of "View as table" number their rows by a text that is evaluated as a
  script. The policy refuses that too, and the numbers stay blank. The script is served with a
  function instead.
- Error pages fetch a font from Google. They are served without it.
- Dashboards write the colours of their labels, also for a person who may only look. The refusal
  would count as a fault, so the page hears that all is well; nothing is written.
"""

import re
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path

from flask import Flask, Response, jsonify, request

FONT = re.compile(rb"<link\b[^>]*\bhref=\"https://[^>]*>")
SCRIPTS = {
    b"https://apachesuperset.gateway.scarf.sh/pixel/": (
        b"data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7#"
    ),
    b'valueGetter:"node.rowIndex+1"': b"valueGetter:e=>e.node.rowIndex+1",
}
"""What stands in scripts, and what is served instead."""


def mend(app: Flask) -> None:
    """Answer the pages of the application so."""
    static = app.view_functions["static"]

    def mended_script(filename: str) -> Response:
        if filename.endswith(".js") and (script := _mended(Path(app.static_folder), filename)):
            answer = Response(script, mimetype="text/javascript")
            answer.cache_control.public, answer.cache_control.max_age = True, 86_400
            return answer
        return static(filename=filename)

    app.view_functions["static"] = mended_script

    @app.after_request
    def without_font(answer: Response) -> Response:
        if answer.status_code >= HTTPStatus.BAD_REQUEST and answer.mimetype == "text/html":
            answer.direct_passthrough = False  # it is sent as a file
            answer.set_data(FONT.sub(b"", answer.get_data()))
        return answer

    @app.after_request
    def accept_label_colors(answer: Response) -> Response:
        refused = answer.status_code == HTTPStatus.FORBIDDEN
        return (
            jsonify(result={})
            if refused and request.endpoint == "DashboardRestApi.put_colors"
            else answer
        )


@lru_cache(maxsize=2_000)
def _mended(folder: Path, name: str) -> bytes | None:
    """The script as it is served, if something in it is to be replaced."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        return None
    script = path.read_bytes()
    mended = script
    for written, served in SCRIPTS.items():
        mended = mended.replace(written, served)
    return mended if mended != script else None
