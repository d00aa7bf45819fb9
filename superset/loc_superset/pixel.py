"""Superset's pages without the picture by which Scarf counts visitors.

Its address is built into one of the scripts, and no setting of a release leaves it out. The content security policy
keeps it from being loaded, and the browser then reports each page as faulty; so the script is served with an empty
picture instead.
"""

from functools import lru_cache
from pathlib import Path

from flask import Flask, Response

ADDRESS = b"https://apachesuperset.gateway.scarf.sh/pixel/"
EMPTY = b"data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7#"


def leave_out(app: Flask) -> None:
    """Serve the static files of the application so."""
    plain = app.view_functions["static"]

    def static(filename: str) -> Response:
        if filename.endswith(".js") and (script := _without(Path(app.static_folder), filename)):
            answer = Response(script, mimetype="text/javascript")
            answer.cache_control.public, answer.cache_control.max_age = True, 86_400
            return answer
        return plain(filename=filename)

    app.view_functions["static"] = static


@lru_cache(maxsize=2_000)
def _without(folder: Path, name: str) -> bytes | None:
    """The script, if it has the address."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        return None
    script = path.read_bytes()
    return script.replace(ADDRESS, EMPTY) if ADDRESS in script else None
