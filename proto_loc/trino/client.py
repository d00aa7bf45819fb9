"""Connects to Trino as one of its identities, with a password, over TLS that is verified."""

import sys
from typing import TYPE_CHECKING, Any

from proto_loc.errors import LocError
from proto_loc.settings import environment_folder, settings
from proto_loc.sql import TIME_ZONE
from proto_loc.trino import identities, places

if TYPE_CHECKING:
    from trino.dbapi import Connection


def reach() -> None:
    """Make ``import trino`` work in an environment of a reader, such as Superset's.

    The packages of the environment ``trino-client`` come after all others.

    Raises:
        LocError: that environment is not installed.
    """
    try:
        import trino  # noqa: F401
    except ImportError:
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        folder = environment_folder("trino-client") / "lib" / version / "site-packages"
        if not folder.is_dir():
            raise LocError(
                "Trino's client is not installed.",
                f"There is no {folder}.",
                "LOC_ENGINE=trino ./loc setup trino-client",
            ) from None
        sys.path.append(str(folder))


def connect(
    identity: str, *, catalog: str | None = None, schema: str | None = None, **options: Any
) -> "Connection":
    """Open a connection to Trino; nothing is sent before the first statement.

    Args:
        identity: one of :data:`proto_loc.trino.identities.ALL`.
        options: further arguments of ``trino.dbapi.connect``.

    Raises:
        LocError: the identity's secret cannot be read, or the client is not installed.
    """
    known = arguments(identity)
    import trino  # after arguments(), which makes it importable

    return trino.dbapi.connect(**known | {"catalog": catalog, "schema": schema} | options)


def arguments(identity: str) -> dict[str, Any]:
    """Arguments of ``trino.dbapi.connect``, also for SQLAlchemy's ``connect_args``.

    Raises:
        LocError: the identity's secret cannot be read, or the client is not installed.
    """
    reach()
    import requests
    import trino

    session = requests.Session()
    session.trust_env = False  # REQUESTS_CA_BUNDLE would come before `verify`, and so would a proxy
    session.verify = str(places.certificate())
    return {
        "host": places.HOST,
        "port": settings().port("trino"),
        "user": identity,
        "http_scheme": "https",
        "http_session": session,
        "auth": trino.auth.BasicAuthentication(identity, identities.password(identity)),
        "source": "proto_loc",
        "timezone": TIME_ZONE,
    }
