"""Where things are and how they are bounded: every setting is one ``LOC_*`` environment variable."""

import hashlib
import os
import re
import tempfile
from collections.abc import MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from proto_loc.errors import UsageError

ROOT = Path(__file__).resolve().parent.parent

PORTS = {"dagster": 3000, "cube": 4000, "superset": 8088, "mcp": 8090, "jupyter": 8888}
"""Where each service listens on 127.0.0.1, before ``LOC_PORT_PREFIX``."""


@dataclass(frozen=True)
class Settings:
    """The platform's settings, read once from the environment by :func:`settings`."""

    data: Path
    """Runtime data (``LOC_DATA``, default ``data/``): lake, warehouse, landing."""
    run: Path
    """Everything of this run (``LOC_RUN``, default ``.run/``): logs, secrets, dbt's target folder."""
    lock_timeout: float
    """Seconds that a writer waits for another one (``LOC_LOCK_TIMEOUT``, default 600)."""
    keep_versions: int
    """How many published versions of a database are kept (``LOC_KEEP_VERSIONS``, default 3)."""
    grace: float
    """Seconds for which a superseded version stays readable (``LOC_GRACE``, default 3600)."""
    grace_bytes: int
    """Bytes that versions in their grace time may take (``LOC_GRACE_BYTES``, default a billion)."""
    bin_grace: float
    """Seconds that a lake file which no version uses waits in the bin (``LOC_BIN_GRACE``, default a week)."""
    query_memory: str
    """Memory limit of a guarded reader (``LOC_QUERY_MEMORY``, default ``1GB``)."""
    query_threads: int
    """Threads of a guarded reader (``LOC_QUERY_THREADS``, default 2)."""
    cube_native: str
    """Cube's native addon (``LOC_CUBE_NATIVE``): ``auto``, ``required`` or ``off``."""
    cube_native_timeout: float
    """Seconds that set-up tries for it (``LOC_CUBE_NATIVE_TIMEOUT``, default 60)."""
    cube_timeout: float
    """Seconds after which a query of Cube's is cut (``LOC_CUBE_TIMEOUT``, default 30)."""
    cube_rows: int
    """Rows that a query of Cube's may ask for (``LOC_CUBE_ROWS``, default 50000)."""
    cube_grace: float
    """Seconds that Cube keeps a superseded version open (``LOC_CUBE_GRACE``, default 30)."""
    cube_dev: bool
    """Cube's playground, for its developer (``LOC_CUBE_DEV``, default off)."""
    query_timeout: float
    """Seconds for which a query of Superset may run (``LOC_QUERY_TIMEOUT``, default 30)."""
    superset_metadata: str
    """Where Superset keeps what people make in it (``LOC_SUPERSET_METADATA``, default SQLite): SQLAlchemy's address."""
    superset_address: str
    """Where a proxy serves Superset by HTTPS (``LOC_SUPERSET_ADDRESS``, default none): ``https://bi.example.org``."""
    superset_history: int
    """Days for which Superset's log and its history of queries are kept (``LOC_SUPERSET_HISTORY``, default 90)."""
    port_prefix: str
    """A digit before every port (``LOC_PORT_PREFIX``, default none): with 1, Dagster is on 13000."""

    @property
    def lake(self) -> Path:
        return self.data / "lake"

    @property
    def warehouse(self) -> Path:
        return self.data / "warehouse"

    @property
    def landing(self) -> Path:
        return self.data / "landing"

    def port(self, service: str) -> int:
        """The port of a service of :data:`PORTS`."""
        return int(f"{self.port_prefix}{PORTS[service]}")

    def socket(self, name: str) -> Path:
        """Where the Unix socket of that name is: in ``run``, by a path short and plain enough for one.

        One longer than the 104 bytes of macOS (108 on Linux), or with a character that gRPC's addresses give a meaning
        (``#``, ``%``, a space), is reached through a link to ``run`` in a private folder.

        Raises:
            UsageError: that folder belongs to another user.
        """
        path = self.run / name
        if len(os.fsencode(path)) < 100 and re.fullmatch(r"[\w./+~@-]+", str(path), re.ASCII):
            return path
        base = Path(os.environ.get("XDG_RUNTIME_DIR") or f"{tempfile.gettempdir()}/loc-{os.getuid()}")
        private_folder(base)
        if base.stat().st_uid != os.getuid() or base.is_symlink():
            raise UsageError(f"{base} is not yours.", "", "Set XDG_RUNTIME_DIR or LOC_RUN to a folder of your own.")
        link = base / hashlib.sha256(os.fsencode(self.run)).hexdigest()[:12]
        if not link.is_symlink():
            private_folder(self.run)
            with suppress(FileExistsError):  # another process may make it meanwhile
                link.symlink_to(self.run)
        return link / name


def _number(name: str, default: float, kind: type, minimum: float):
    text = os.environ.get(name, "")
    try:
        value = kind(text) if text else kind(default)
    except ValueError:
        value = None
    if value is None or not minimum <= value < float("inf"):
        article = "a whole number" if kind is int else "a number"
        raise UsageError(
            f"{name}={text!r} is not usable.",
            f"It must be {article} of at least {minimum:g}.",
            f"Set it so, or unset it for the default, {default:g}.",
        )
    return value


def _choice(name: str, default: str, *others: str) -> str:
    value = os.environ.get(name) or default
    if value not in (default, *others):
        raise UsageError(
            f"{name}={value!r} is not usable.",
            f"It must be one of {', '.join((default, *others))}.",
            f"Set it so, or unset it for the default, {default}.",
        )
    return value


def _port_prefix() -> str:
    prefix = os.environ.get("LOC_PORT_PREFIX", "")
    if prefix not in ("", "1", "2", "3", "4", "5"):
        raise UsageError(
            f"LOC_PORT_PREFIX={prefix!r} is not usable.",
            f"It is put before each port, as in {PORTS['dagster']} and 1{PORTS['dagster']}, and ports end at 65535.",
            "Set it to a digit from 1 to 5, or unset it.",
        )
    return prefix


def _metadata(data: Path) -> str:
    text = os.environ.get("LOC_SUPERSET_METADATA") or f"sqlite:///{data}/superset/superset.db?timeout=30"
    if not text.startswith((f"sqlite:///{data}/", "postgresql://", "postgresql+psycopg2://")):
        raise UsageError(
            "LOC_SUPERSET_METADATA is not usable.",
            "It must be the SQLAlchemy address of a PostgreSQL database.",
            "Set it to postgresql://USER@HOST/DATABASE?passfile=FILE, or unset it for SQLite in the data folder.",
        )
    return text


def _address() -> str:
    text = os.environ.get("LOC_SUPERSET_ADDRESS", "").rstrip("/")
    parts = urlsplit(text)
    if text and (parts.scheme != "https" or not parts.hostname or parts.path or parts.query):
        raise UsageError(
            f"LOC_SUPERSET_ADDRESS={text!r} is not usable.",
            "It must be https:// and a host, without a path.",
            "Set it so, for example to https://bi.example.org, or unset it.",
        )
    return text


def settings() -> Settings:
    """The settings as the environment gives them now.

    Raises:
        UsageError: a variable holds what is no number or one out of range, or a path that DuckDB cannot open.
    """
    data = Path(os.environ.get("LOC_DATA") or ROOT / "data").absolute()
    if "?" in str(data):
        raise UsageError(
            f"Data cannot be kept in {data}.",
            "DuckDB takes what follows a question mark for parameters.",
            "Set LOC_DATA to a folder without one in its path, or rename the folder.",
        )
    return Settings(
        data=data,
        run=Path(os.environ.get("LOC_RUN") or ROOT / ".run").absolute(),
        lock_timeout=_number("LOC_LOCK_TIMEOUT", 600, float, 0),
        keep_versions=_number("LOC_KEEP_VERSIONS", 3, int, 1),
        grace=_number("LOC_GRACE", 3600, float, 0),
        grace_bytes=_number("LOC_GRACE_BYTES", 10**9, int, 0),
        bin_grace=_number("LOC_BIN_GRACE", 7 * 86400, float, 0),
        query_memory=os.environ.get("LOC_QUERY_MEMORY") or "1GB",
        query_threads=_number("LOC_QUERY_THREADS", 2, int, 1),
        cube_native=_choice("LOC_CUBE_NATIVE", "auto", "required", "off"),
        cube_native_timeout=_number("LOC_CUBE_NATIVE_TIMEOUT", 60, float, 1),
        cube_timeout=_number("LOC_CUBE_TIMEOUT", 30, float, 0.1),
        cube_rows=_number("LOC_CUBE_ROWS", 50_000, int, 1),
        cube_grace=_number("LOC_CUBE_GRACE", 30, float, 0),
        cube_dev=_choice("LOC_CUBE_DEV", "0", "1") == "1",
        query_timeout=_number("LOC_QUERY_TIMEOUT", 30, float, 0.1),
        superset_metadata=_metadata(data),
        superset_address=_address(),
        superset_history=_number("LOC_SUPERSET_HISTORY", 90, int, 1),
        port_prefix=_port_prefix(),
    )


def origin(port: int) -> str:
    """Where a browser reaches a port of this machine: in a codespace, through GitHub, which lets only its owner in."""
    name, domain = os.environ.get("CODESPACE_NAME"), os.environ.get("GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN")
    return f"https://{name}-{port}.{domain}" if name and domain else f"http://127.0.0.1:{port}"


def spare_loopback(env: MutableMapping[str, str]) -> None:
    """Have the proxies of an environment left out for this machine's own services."""
    told = env.get("no_proxy") or env.get("NO_PROXY") or ""
    if told != "*" and any(key.lower().endswith("_proxy") for key in env):
        own = [host for host in ("127.0.0.1", "localhost", "::1") if host not in told.split(",")]
        env["no_proxy"] = env["NO_PROXY"] = ",".join(filter(None, (told, *own)))


def private_folder(path: Path) -> Path:
    """Make ``path`` with every folder above that is missing, for this user only (0700); one that exists stays as it is.

    Raises:
        OSError: it cannot be made.
    """
    for folder in (*reversed(path.parents), path):
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)
    return path
