"""Patches faults of Superset's pages that no setting of this release can fix.

- The pages load an image with which Scarf counts visitors. The content security policy blocks it,
  and the browser reports an error on every page. The script is served with an empty image.
- The tables of SQL Lab and of "View as table" number their rows with a text that is evaluated as a
  script. The policy blocks that too, and the numbers stay blank. The script is served with a
  function instead of the text.
- Error pages fetch a font from Google. They are served without it.
- A dashboard saves the colours of its labels, even for a person who may only read it. The server
  would refuse this, and the browser would report an error. So the page gets a positive answer, and
  nothing is saved.
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
"""Text in Superset's scripts → the text that is served instead."""


def mend(app: Flask) -> None:
    """Install these patches in the application."""
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
    """Return the patched script; None if nothing in it needs a patch."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        return None
    script = path.read_bytes()
    mended = script
    for written, served in SCRIPTS.items():
        mended = mended.replace(written, served)
    return mended if mended != script else None
