"""Settings of the platform: each is one ``LOC_*`` environment variable."""

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from proto_loc.errors import UsageError

ROOT = Path(__file__).resolve().parent.parent


PORTS = {
    "home": 8000,
    "dagster": 3000,
    "cube": 4000,
    "superset": 8088,
    "mcp": 8090,
    "jupyter": 8888,
    "trino": 8443,
    "trino-worker": 8444,
    "nessie": 9120,
}
"""Port of each service on 127.0.0.1, unless a setting moves it."""

ENGINES = ("duckdb", "trino")


def port_setting(service: str) -> str:
    """The name of the setting that replaces a service's port."""
    return f"LOC_{service.upper().replace('-', '_')}_PORT"


def _number(name: str, default: float, minimum: float, kind: type = float) -> float:
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


def _folder(name: str, default: str) -> Path:
    return Path(os.environ.get(name) or ROOT / default).absolute()


def environment_folder(name: str) -> Path:
    """Folder of an environment: below ``LOC_ENVIRONMENTS``, else below ``.venvs``.

    With ``LOC_ENGINE=trino``, the environment ``trino`` takes the place of ``platform``.
    """
    if name == "platform" and os.environ.get("LOC_ENGINE") == "trino":
        name = "trino"
    return _folder("LOC_ENVIRONMENTS", ".venvs") / name


def _data(name: str = "LOC_DATA", default: str = "data") -> Path:
    folder = _folder(name, default)
    if "?" in str(folder):
        raise UsageError(
            f"Data cannot be kept in {folder}.",
            "DuckDB takes what follows a question mark for parameters.",
            "Set LOC_DATA to a folder without one in its path, or rename the folder.",
        )
    return folder


def _port_prefix(name: str) -> str:
    prefix = os.environ.get(name, "")
    if prefix not in ("", "1", "2", "3", "4", "5"):
        raise UsageError(
            f"{name}={prefix!r} is not usable.",
            f"It is put before each port, as in {PORTS['dagster']} and 1{PORTS['dagster']}, and"
            " ports end at 65535.",
            "Set it to a digit from 1 to 5, or unset it.",
        )
    return prefix


def _metadata(name: str) -> str:
    data = _data()
    text = os.environ.get(name) or f"sqlite:///{data}/superset/superset.db?timeout=30"
    if not text.startswith((f"sqlite:///{data}/", "postgresql://", "postgresql+psycopg2://")):
        raise UsageError(
            f"{name} is not usable.",
            "It must be the SQLAlchemy address of a PostgreSQL database.",
            "Set it to postgresql://USER@HOST/DATABASE?passfile=FILE, or unset it for SQLite in the"
            " data folder.",
        )
    return text


def _engine(name: str) -> str:
    engine = os.environ.get(name) or ENGINES[0]
    if engine not in ENGINES:
        raise UsageError(
            f"{name}={engine!r} is not usable.",
            f"It must be one of {', '.join(ENGINES)}.",
            f"Set it so, or unset it for {ENGINES[0]}. {ROOT / 'docs/trino.md'} says what each is.",
        )
    return engine


def _heap(name: str) -> str:
    text = os.environ.get(name) or "2G"
    match = re.fullmatch(r"(\d+)([MG])", text)
    if not match or int(match[1]) * {"M": 1, "G": 1024}[match[2]] < 512:
        raise UsageError(
            f"{name}={text!r} is not usable.",
            "It is the heap of a Java process, of at least 512M.",
            "Set it to a whole number with M or G, such as 2G or 1536M, or unset it for 2G.",
        )
    return text


def _address(name: str, *, fits: Callable[[SplitResult], object], must: str, fix: str) -> str:
    text = os.environ.get(name, "").rstrip("/")
    if text and not fits(urlsplit(text)):
        raise UsageError(f"{name} is not usable.", f"It must be {must}.", fix)  # it may be a secret
    return text


_web_address = partial(
    _address,
    fits=lambda url: url.scheme == "https" and url.hostname and not (url.path or url.query),
    must="https:// and a host, without a path",
    fix="Set it so, for example to https://bi.example.org, or unset it.",
)
_object_store = partial(
    _address,
    fits=lambda url: url.scheme == "s3" and url.hostname and not (url.query or url.username),
    must="s3://BUCKET/FOLDER",
    fix="Set it so, or unset it, and the tables' files are in LOC_DATA.",
)
_catalogue_database = partial(
    _address,
    fits=lambda url: (
        url.scheme == "postgresql"
        and url.hostname
        and url.username
        and url.path.strip("/")
        and not url.password
    ),
    must="postgresql://USER@HOST:PORT/DATABASE, without the password",
    fix="Set it so, with the password in the secret nessie-password; or unset it, and Nessie keeps"
    " its catalogue in LOC_DATA.",
)


@dataclass(frozen=True)
class Setting:
    """One variable, with its texts for the guide; ``read`` takes its name and returns its value."""

    default: str
    meaning: str
    read: Callable[[str], object] | None = None
    """None if the module that needs the variable reads it itself."""


def _setting(meaning: str, default: str, read: Callable[[str], object]):
    return field(metadata={"setting": Setting(default, meaning, read)})


def _seconds(default: float, meaning: str, minimum: float = 0):
    read = partial(_number, default=default, minimum=minimum)
    return _setting(f"seconds {meaning}", f"{default:.0f}", read)


def _count(default: int, meaning: str, minimum: int = 1):
    read = partial(_number, default=default, minimum=minimum, kind=int)
    return _setting(meaning, f"{default}", read)


@dataclass(frozen=True)
class Settings:
    """The platform's settings; the field ``data`` holds the variable ``LOC_DATA``, and so on."""

    data: Path = _setting("runtime data: lake, warehouse, landing", "`data/` in the clone", _data)
    run: Path = _setting(
        "runtime state: logs, secrets, dbt's target folder",
        "`.run/` in the clone",
        partial(_folder, default=".run"),
    )
    lock_timeout: float = _seconds(600, "that a writer waits for another one")
    keep_versions: int = _count(3, "number of the newest versions of a database that are kept")
    grace: float = _seconds(3600, "that a superseded version stays readable")
    grace_bytes: int = _count(
        10**9,
        "bytes of disk for versions in their grace time; beyond, the oldest that no process has"
        " open are removed",
        minimum=0,
    )
    bin_grace: float = _seconds(
        7 * 86400, "that an unused file of the lake stays in `data/lake/.bin` before it is deleted"
    )
    query_memory: str = _setting(
        "memory limit of a guarded reader, such as a query of Superset, and of Cube for each open"
        " version",
        "`1GB`",
        lambda name: os.environ.get(name) or "1GB",
    )
    query_threads: int = _count(2, "threads of a guarded reader, and of Cube")
    query_timeout: float = _seconds(30, "that a query of Superset may run", minimum=0.1)
    superset_address: str = _setting(
        "URL of a reverse proxy that serves Superset by HTTPS, such as `https://bi.example.org`;"
        " see [Superset](superset.md)",
        "none",
        _web_address,
    )
    superset_history: int = _count(
        90,
        "days that entries of Superset's log and query history are kept; provisioning removes older"
        " ones",
    )
    superset_metadata: str = _setting(
        "SQLAlchemy URL of a PostgreSQL database for Superset's metadata",
        "SQLite in `LOC_DATA`",
        _metadata,
    )
    cube_timeout: float = _seconds(30, "that a query of Cube may run", minimum=0.1)
    cube_rows: int = _count(
        50_000, "largest row limit of a query of Cube; a query without a limit gets 10000 rows"
    )
    cube_grace: float = _seconds(30, "that Cube keeps a superseded version open")
    cube_native: str = _setting(
        "Cube's native addon: `auto` (if available), `required`, `off`; see [Cube](cube.md)",
        "`auto`",
        lambda name: _choice(name, "auto", "required", "off"),
    )
    cube_native_timeout: float = _seconds(60, "that set-up tries to fetch the addon", minimum=1)
    cube_dev: bool = _setting(
        "1: Cube's playground, which gives a token to any program on this machine; only for work on"
        " the model",
        "0",
        lambda name: _choice(name, "0", "1") == "1",
    )
    notify_pause: float = _seconds(
        30, "between two looks for incidents, if `fork.toml` has a channel", minimum=1
    )
    log_format: str = _setting(
        "`json`: each record of a log is one line of JSON; see [monitoring](monitoring.md)",
        "`text`",
        lambda name: _choice(name, "text", "json"),
    )
    port_prefix: str = _setting(
        "a digit from 1 to 5 before every port number, so that two clones run side by side: with 1,"
        " Dagster is on 13000. On Linux prefer 1 or 2: outgoing connections of other programs may"
        " use ports above 32768",
        "none",
        _port_prefix,
    )

    engine: str = _setting(
        "what builds and serves the tables: `duckdb`, in this process, or `trino`, servers of"
        " their own with Iceberg tables; see [Trino](trino.md)",
        "`duckdb`",
        _engine,
    )
    trino_memory: str = _setting("heap of each node of Trino", "`2G`", _heap)
    nessie_database: str = _setting(
        "`postgresql://USER@HOST:PORT/DATABASE` for Nessie's catalogue; its password is the secret"
        " `nessie-password`",
        "RocksDB in `LOC_DATA`",
        _catalogue_database,
    )
    iceberg_warehouse: str = _setting(
        "`s3://BUCKET/FOLDER` for the files of Iceberg tables; see [Trino](trino.md)",
        "`iceberg/` in `LOC_DATA`",
        _object_store,
    )
    s3_endpoint: str = _setting(
        "URL of a store that speaks S3, such as MinIO",
        "that of Amazon",
        lambda name: os.environ.get(name, "").rstrip("/"),
    )
    s3_region: str = _setting(
        "region of that store", "`us-east-1`", lambda name: os.environ.get(name) or "us-east-1"
    )

    @property
    def lake(self) -> Path:
        return self.data / "lake"

    @property
    def warehouse(self) -> Path:
        return self.data / "warehouse"

    @property
    def landing(self) -> Path:
        return self.data / "landing"

    @property
    def superset_sqlite(self) -> Path | None:
        """The file of Superset's metadata; None if it is in PostgreSQL."""
        scheme, _, place = self.superset_metadata.partition(":///")
        return Path(place.partition("?")[0]) if scheme == "sqlite" else None

    def port(self, service: str) -> int:
        """The port of a service of :data:`PORTS`.

        Raises:
            UsageError: its setting, or that with the prefix, gives no port, or gives one that
                another service has.
        """
        ports = {name: self._port(name) for name in PORTS}
        for other, port in ports.items():
            if other != service and port == ports[service]:
                raise UsageError(
                    f"{port_setting(service)} and {port_setting(other)} give the same port,"
                    f" {port}.",
                    "Two services cannot listen on one port.",
                    "Set one of them to another number.",
                )
        return ports[service]

    def own_port(self, service: str) -> int:
        """The port of a service without the prefix, which is for one clone only.

        Raises:
            UsageError: its setting gives no port.
        """
        return _number(port_setting(service), PORTS[service], 1024, int)

    def _port(self, service: str) -> int:
        name, number = port_setting(service), self.own_port(service)
        port = int(f"{self.port_prefix}{number}")
        if port > 65535:
            prefix = f" with LOC_PORT_PREFIX={self.port_prefix}" if self.port_prefix else ""
            raise UsageError(
                f"{name}={number}{prefix} is not usable.",
                f"It gives port {port}, and ports end at 65535.",
                f"Set {name} to a number from 1024 to 9999, or unset LOC_PORT_PREFIX."
                if prefix
                else f"Set {name} to a number from 1024 to 65535.",
            )
        return port

    def socket(self, name: str) -> Path:
        """The path of a Unix socket in the run folder, short enough for the system.

        A path longer than the 104 bytes of macOS (108 on Linux), or with a special character of
        gRPC's addresses (``#``, ``%``, a space), goes through a link in a private folder.

        Raises:
            UsageError: that folder belongs to another user.
        """
        path = self.run / name
        if len(os.fsencode(path)) < 100 and re.fullmatch(r"[\w./+~@-]+", str(path), re.ASCII):
            return path
        base = Path(
            os.environ.get("XDG_RUNTIME_DIR") or f"{tempfile.gettempdir()}/loc-{os.getuid()}"
        )
        private_folder(base)
        if base.stat().st_uid != os.getuid() or base.is_symlink():
            raise UsageError(
                f"{base} is not yours.",
                "",
                "Set XDG_RUNTIME_DIR or LOC_RUN to a folder of your own.",
            )
        link = base / hashlib.sha256(os.fsencode(self.run)).hexdigest()[:12]
        if not link.is_symlink():
            private_folder(self.run)
            with suppress(FileExistsError):  # another process may make it meanwhile
                link.symlink_to(self.run)
        return link / name


ELSEWHERE = {
    "LOC_CUBE_MODEL": Setting("`cube/model`", "another folder of Cube's model"),
    "LOC_CHROMIUM": Setting(
        "the one on PATH", "the Chromium or Chrome that takes the screenshots of `loc validate`"
    ),
    "LOC_LLM_MODEL": Setting(
        "none",
        "the language model of `loc ask` and PandasAI, as LiteLLM names it; see [questions](ai.md)",
    ),
    "LOC_LLM_URL": Setting("its provider's", "URL of the model: any server with OpenAI's API"),
    "LOC_LLM_TIMEOUT": Setting("60", "seconds that one answer of the model may take"),
    "LOC_LLM_SEND_ROWS": Setting(
        "1", "with 0, only names and descriptions are sent to the model, and no values of the data"
    ),
    "LOC_COMPOSE": Setting(
        "the first one that is available",
        "the process supervisor: `path` (process-compose from PATH), `release` (its pinned"
        " release), `runner` (`proto_loc.compose`)",
    ),
    "LOC_COMPOSE_FILE": Setting("`process-compose.yaml`", "another file of processes"),
    "LOC_ENVIRONMENTS": Setting(
        "none: `.venvs/` in the clone, which set-up fills",
        "a folder of finished environments, which are read and never changed; `nix run` and the"
        " image set it, see [a machine without a network](air-gap.md)",
    ),
    "LOC_JAVA_HOME": Setting(
        "the first that is new enough", "the folder of the Java that runs Trino and Nessie"
    ),
    "LOC_MAVEN_REPOSITORY": Setting(
        "what the settings of `mvn` say",
        "URL of the Maven repository that Trino and Nessie come from",
    ),
    "LOC_LIBRARY_PATH": Setting(
        "none",
        "folders of shared libraries for the environments' Pythons and the services only; the Nix"
        " shell sets it, and an environment records it",
    ),
    "LOC_PROJECT": Setting(
        "`~/.local/share/NAME`, with the name of the fork",
        "the project folder of a platform that runs outside of a clone; see [a machine without a"
        " network](air-gap.md)",
    ),
    "LOC_PYTHON": Setting(
        "Python 3.11 of the machine, else uv's",
        "the interpreter of the environments, as a version or a path for uv",
    ),
    "LOC_UV": Setting(
        "uv from PATH if it is of the golden series, else the golden one is fetched",
        "the uv that installs environments, of any version; the Nix shell sets it",
    ),
}
"""Settings that are read elsewhere: by the launcher or by the module that needs them."""


def settings() -> Settings:
    """Read all settings from the environment.

    Raises:
        UsageError: a value is out of range, or DuckDB cannot open the data folder.
    """
    return Settings(**{name: setting.read(_variable(name)) for name, setting in _declared()})


def guide() -> str:
    """The table of all settings, in Markdown."""
    rows = {_variable(name): setting for name, setting in _declared()}
    rows |= {
        port_setting(service): Setting(f"{port}", f"port of {service}; a prefix goes before it")
        for service, port in PORTS.items()
    } | ELSEWHERE
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    lines += [f"| `{name}` | {row.default} | {row.meaning} |" for name, row in rows.items()]
    return "\n".join(lines) + "\n"


def _declared() -> list[tuple[str, Setting]]:
    return [(item.name, item.metadata["setting"]) for item in fields(Settings)]


def _variable(name: str) -> str:
    return f"LOC_{name.upper()}"


def origin(port: int) -> str:
    """The URL at which a browser reaches a port; a codespace forwards ports to its own URLs."""
    name, domain = (
        os.environ.get("CODESPACE_NAME"),
        os.environ.get("GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN"),
    )
    return f"https://{name}-{port}.{domain}" if name and domain else f"http://127.0.0.1:{port}"


def spare_loopback(env: MutableMapping[str, str]) -> None:
    """Add this machine's own addresses to ``no_proxy``, if the environment names a proxy.

    ``all_proxy`` goes away if it names a SOCKS proxy, as desktops set it beside ``https_proxy``:
    httpx supports none, and fails also where it needs no proxy.
    """
    if env.get("https_proxy") or env.get("HTTPS_PROXY"):
        for name in ("all_proxy", "ALL_PROXY"):
            if env.get(name, "").lower().startswith("socks"):
                del env[name]
    exempt = env.get("no_proxy") or env.get("NO_PROXY") or ""
    if exempt != "*" and any(key.lower().endswith("_proxy") for key in env):
        own = [host for host in ("127.0.0.1", "localhost", "::1") if host not in exempt.split(",")]
        env["no_proxy"] = env["NO_PROXY"] = ",".join(filter(None, (exempt, *own)))


def private_folder(path: Path) -> Path:
    """Make a folder and its parents with mode 0700; existing folders keep their mode."""
    for folder in (*reversed(path.parents), path):
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)
    return path
