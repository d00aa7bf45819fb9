"""Reads the query times that Superset and Cube keep of themselves."""

from collections.abc import Iterable
from pathlib import Path

import httpx
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.parser import text_string_to_metric_families

from proto_loc.cube import client
from proto_loc.errors import LocError
from proto_loc.settings import settings

TIMEOUT = 3.0
"""Seconds that Cube may take to answer."""


def superset_folder() -> Path:
    """The folder in which the processes of Superset's server keep their figures."""
    return settings().run / "superset" / "metrics"


def superset() -> Iterable[Metric]:
    """The figures of all processes of Superset's server, added up; none if it never ran.

    Raises:
        LocError: a file is damaged.
    """
    folder = superset_folder()
    if not folder.is_dir():
        return []
    try:
        return list(MultiProcessCollector(CollectorRegistry(), path=str(folder)).collect())
    except (OSError, ValueError, KeyError, UnicodeDecodeError) as error:
        why = f"{type(error).__name__}: {error}."
        raise LocError(f"{folder} cannot be read.", why, "./loc restart superset") from error


def cube() -> Iterable[Metric]:
    """Cube's figures; none if it does not run.

    Raises:
        LocError: it does not answer in time, or refuses.
    """
    address = f"http://127.0.0.1:{settings().port('cube')}/metrics"
    token = client.token(client.ALL_ROWS, seconds=60)
    try:
        answer = httpx.get(
            address,
            headers={"authorization": f"Bearer {token}"},
            timeout=TIMEOUT,
            trust_env=False,
        ).raise_for_status()
    except httpx.ConnectError:
        return []
    except httpx.HTTPError as error:
        why = f"{type(error).__name__}: {error}"
        raise LocError("Cube does not show its metrics.", why, "./loc restart cube") from error
    return list(text_string_to_metric_families(answer.text))
