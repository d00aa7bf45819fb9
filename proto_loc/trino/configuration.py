"""Writes the configuration of Trino's nodes and the variables of Nessie, at each start.

Clients speak to Trino by HTTPS only, with a password; nodes speak to each other by HTTPS with a
shared secret. Everything listens on 127.0.0.1.
"""

import json
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from proto_loc import credentials, files
from proto_loc.settings import private_folder, settings
from proto_loc.trino import certificate, identities, places

READ_CATALOGUES = "v[0-9]+|prod"
"""The catalogues that readers may read: `prod`, and one for each version."""
LEVELS = {
    "io.trino": "WARN",
    "io.airlift": "WARN",
    "org.hibernate": "WARN",
    "Bootstrap": "WARN",  # every property of every plugin
    "org.apache.iceberg": "WARN",
    "org.apache.iceberg.nessie.NessieUtil": "ERROR",  # two lines a commit on Iceberg's own expiry
}
_SEEN = "(?!(information_schema|system)$|raw__).*"
"""The schemas that readers see: `system.iceberg_tables` of a catalogue names those of raw, too."""
PUBLISHED = "main|v[0-9]+"
"""The branch and the tags of Nessie that hold what is published."""
NESSIE_HEAP = "512m"
PROCESSORS = 4
"""From this number on, Java compiles what runs often a second time."""
S3_VARIABLES = {"LOC_TRINO_S3_KEY": "s3-access-key", "LOC_TRINO_S3_SECRET": "s3-secret-key"}
"""Variables of the nodes that hold the keys of the object store, with the secret of each."""


def write(node: str, *, vector: bool = True) -> Path:
    """Write the configuration of a node, and return its folder.

    Args:
        vector: whether the Java has the module ``jdk.incubator.vector``, which is faster.

    Raises:
        LocError: a setting or secret cannot be used.
        OSError: a file cannot be written.
    """
    folder = private_folder(places.etc(node))
    private_folder(places.catalogues())
    certificate.ensure()
    authenticator = {
        "password-authenticator.name": "file",
        "file.password-file": folder / "passwords",
    }
    access = {"access-control.name": "file", "security.config-file": folder / "rules.json"}
    texts = {
        "config.properties": properties(_node(node, folder)),
        "jvm.config": "\n".join(jvm(vector)) + "\n",
        "log.properties": properties(LEVELS),
        "password-authenticator.properties": properties(authenticator),
        "passwords": identities.password_file(),
        "access-control.properties": properties(access),
        "rules.json": json.dumps(rules(), indent=1) + "\n",
        # Trino looks for this one below the folder it starts in.
        "etc/catalog-store.properties": properties({"catalog.config-dir": places.catalogues()}),
    }
    written = {folder / name: text for name, text in texts.items()}
    if node == places.NODES[0]:
        written |= renewed_catalogues()
    files.replace_all(written, private=True)
    return folder


def renewed_catalogues() -> dict[Path, str]:
    """The files of the catalogues that the coordinator keeps, with the ports, paths and object
    store of now: those of the day on which a catalogue was made may be others.
    """
    renewed = {}
    for path in places.catalogues().glob("*.properties"):
        if ref := re.search(r"^iceberg\.nessie-catalog\.ref *= *(\S+)", path.read_text(), re.M):
            renewed[path] = properties({"connector.name": "iceberg"} | catalogue(ref[1]))
    return renewed


def properties(values: dict[str, object]) -> str:
    """The text of a properties file of Java, in ISO 8859-1 with escapes."""
    lines = []
    for key, value in values.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        lines.append(f"{key}={''.join(map(_escaped, text))}\n")
    return "".join(lines)


def _escaped(character: str) -> str:
    if " " <= character <= "~":
        return character.replace("\\", "\\\\")
    units = character.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _node(node: str, folder: Path) -> dict[str, object]:
    is_coordinator = node == places.NODES[0]
    heap = megabytes(settings().trino_memory)
    share = heap * 3 // 10  # as by default, of which a node also keeps as much free
    values: dict[str, object] = {
        "node.environment": "loc",
        "node.id": node,
        "node.internal-address": places.HOST,
        "node.bind-ip": places.HOST,
        "coordinator": is_coordinator,
        "discovery.uri": places.trino_url(),
        "plugin.dir": places.server() / "plugin",
        "catalog.management": "dynamic",
        "http-server.http.enabled": False,
        "http-server.https.enabled": True,
        "http-server.https.port": settings().port(node),
        "http-server.https.keystore.path": places.certificate_with_key(),
        "http-server.process-forwarded": "ignore",
        "http-server.log.enabled": False,
        "http-server.authentication.type": "PASSWORD",
        "password-authenticator.config-files": folder / "password-authenticator.properties",
        "access-control.config-files": folder / "access-control.properties",
        "internal-communication.https.required": True,
        "internal-communication.https.truststore.path": places.certificate(),
        "internal-communication.shared-secret": credentials.secret("trino-nodes"),
        "query.max-memory-per-node": f"{share}MB",
        "memory.heap-headroom-per-node": f"{share}MB",
    }
    if is_coordinator:
        values |= {
            "catalog.store": "file",
            "node-scheduler.include-coordinator": True,
            "query.max-memory": f"{share * len(places.NODES)}MB",
            "query.max-history": 200,
        }
    return values


def megabytes(heap: str) -> int:
    """Convert the size of a heap, such as ``2G``, to MB."""
    match = re.fullmatch(r"(\d+)([MG])", heap)
    return int(match[1]) * {"M": 1, "G": 1024}[match[2]]


def jvm(vector: bool) -> list[str]:
    """The options of the Java of a node.

    With few processors, the second compiler takes as much of them as the statements: it makes scans
    of many rows faster, minutes later.
    """
    few = (os.cpu_count() or 1) < PROCESSORS
    return [
        *(["-XX:TieredStopAtLevel=1"] if few else []),
        f"-Xmx{settings().trino_memory}",
        "-XX:+UseG1GC",
        "-XX:+ExplicitGCInvokesConcurrent",
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-OmitStackTraceInFastThrow",
        "-XX:ReservedCodeCacheSize=256M",
        "-XX:PerMethodRecompilationCutoff=10000",
        "-XX:PerBytecodeRecompilationCutoff=10000",
        "-Djdk.attach.allowAttachSelf=true",
        "-Djdk.nio.maxCachedBufferSize=2000000",
        "-Dfile.encoding=UTF-8",
        "-XX:+EnableDynamicAgentLoading",
        *(["--add-modules=jdk.incubator.vector"] if vector else []),
        "--enable-native-access=ALL-UNNAMED",
        "--sun-misc-unsafe-memory-access=allow",
    ]


def rules() -> dict:
    """The access rules of Trino: the writer may do all, a reader may select from what is published.

    What no rule allows is refused: other catalogues, the tables of ``system``, procedures,
    properties of catalogues, and other people's queries.
    """
    writer, readers = {"user": identities.WRITER}, {"user": "|".join(identities.READERS)}
    published = readers | {"catalog": READ_CATALOGUES}
    every = ["SELECT", "INSERT", "DELETE", "UPDATE", "OWNERSHIP", "GRANT_SELECT"]
    functions = {"privileges": ["EXECUTE"], "function": ".*"}
    return {
        "catalogs": [
            writer | {"allow": "owner"},  # also makes and drops them
            published | {"allow": "read-only"},
            {"allow": "none"},
        ],
        "queries": [
            writer | {"allow": ["execute", "view", "kill"]},
            readers | {"allow": ["execute"]},
        ],
        "schemas": [writer | {"owner": True}, {"owner": False}],
        "tables": [
            writer | {"privileges": every},
            published | {"schema": _SEEN, "privileges": ["SELECT"]},
        ],
        "functions": [
            writer | functions,
            readers | {"catalog": "system", "schema": "builtin"} | functions,
        ],
        "procedures": [writer | {"privileges": ["EXECUTE"]}],
        "system_session_properties": [
            writer | {"allow": True},
            readers | {"property": "query_max_(run|execution)_time", "allow": True},
            {"allow": False},
        ],
        "catalog_session_properties": [writer | {"allow": True}, {"allow": False}],
        "impersonation": [{"original_user": ".*", "new_user": ".*", "allow": False}],
        "system_information": [writer | {"allow": ["read"]}],
    }


def catalogue(ref: str) -> dict[str, str]:
    """The properties of an Iceberg catalogue (connector ``iceberg``) on a branch or tag of Nessie.

    Through a catalogue on what is published nobody can write, the writer neither: the access rules
    of Trino know nothing of ``alter table ... execute``, by which a reader could otherwise delete
    files. The properties hold no key of the object store: its nodes read those from their
    environment.
    """
    read_only = re.fullmatch(PUBLISHED, ref) is not None
    values = {
        "iceberg.catalog.type": "nessie",
        "iceberg.nessie-catalog.uri": places.nessie_url(),
        "iceberg.nessie-catalog.ref": ref,
        "iceberg.nessie-catalog.default-warehouse-dir": places.warehouse(),
        "iceberg.add-files-procedure.enabled": "true",
        "fs.native-local.enabled": "true",  # the lake, also where tables are in an object store
        "local.location": str(places.local_root()),
        "iceberg.security": "read_only" if read_only else "system",
    }
    if settings().iceberg_warehouse:
        values |= {
            "fs.native-s3.enabled": "true",
            "s3.region": settings().s3_region,
            "s3.path-style-access": "true",
            "s3.aws-access-key": "${ENV:LOC_TRINO_S3_KEY}",
            "s3.aws-secret-key": "${ENV:LOC_TRINO_S3_SECRET}",
        }
        if settings().s3_endpoint:
            values["s3.endpoint"] = settings().s3_endpoint
    return values


def nessie() -> dict[str, str]:
    """The variables of Nessie's server.

    Raises:
        LocError: its database is set, and the secret with the password is missing.
    """
    private_folder(places.nessie_store())
    values = {
        "QUARKUS_HTTP_HOST": places.HOST,
        "QUARKUS_HTTP_PORT": str(settings().port("nessie")),
        "QUARKUS_MANAGEMENT_HOST_ENABLED": "false",  # no port for metrics and health
        "QUARKUS_OTEL_SDK_DISABLED": "true",  # sends nothing
        "QUARKUS_LOG_LEVEL": "WARN",
        "QUARKUS_HTTP_ACCESS_LOG_ENABLED": "false",
        "QUARKUS_LOG_FILE_ENABLE": "false",
        "QUARKUS_LOG_SENTRY": "false",
        "QUARKUS_BANNER_ENABLED": "false",
        "NESSIE_VERSION_STORE_PERSIST_CACHE_CAPACITY_MB": "64",
        "NESSIE_VERSION_STORE_TYPE": "ROCKSDB",
        "NESSIE_VERSION_STORE_PERSIST_ROCKS_DATABASE_PATH": str(places.nessie_store()),
    }
    if settings().nessie_database:
        parts = urlsplit(settings().nessie_database)
        values |= {
            "NESSIE_VERSION_STORE_TYPE": "JDBC2",
            "NESSIE_VERSION_STORE_PERSIST_JDBC_DATASOURCE": "postgresql",
            "QUARKUS_DATASOURCE_POSTGRESQL_JDBC_URL": (
                f"jdbc:postgresql://{parts.hostname}:{parts.port or 5432}{parts.path}"
                f"{f'?{parts.query}' if parts.query else ''}"
            ),
            "QUARKUS_DATASOURCE_POSTGRESQL_USERNAME": parts.username or "",
            "QUARKUS_DATASOURCE_POSTGRESQL_PASSWORD": credentials.given("nessie-password"),
        }
    return values


def node_variables() -> dict[str, str]:
    """The variables of a node: the keys of the object store, if there is one.

    Raises:
        LocError: one of their secrets is missing.
    """
    if not settings().iceberg_warehouse:
        return {}
    return {name: credentials.given(secret) for name, secret in S3_VARIABLES.items()}
