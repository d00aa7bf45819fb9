"""What the services need before they start; a second run finds it done and costs about a second."""

import os
from contextlib import suppress

from proto_loc import environments, node, ports, secrets, services
from proto_loc.compose.client import Client
from proto_loc.settings import private_folder, settings


def prepare() -> None:
    """Install the services' environments, make their secrets, and give readers an empty first version to read.

    Every step finds out by itself whether there is work; what another service needs is one more step here.

    Raises:
        LocError: a step failed, or a port is taken.
    """
    private_folder(settings().run / "logs")
    if services.MARK in os.environ:  # as the process `setup`, before all others: `process-compose up` by hand too
        with Client() as client:
            ports.check(state.name for state in client.processes() if state.verdict != "off")
    environments.sync(*sorted({service.environment for service in services.SERVICES.values()}))
    node.install()
    for service in services.SERVICES.values():
        if service.secret:
            secrets.secret(service.secret)
    _warehouse()
    _dagster()


def _warehouse() -> None:
    from pipelines.sources import TABLES
    from proto_loc import warehouse
    from proto_loc.warehouse import lake

    warehouse.ensure("prod")
    lake.settle(TABLES)


def _dagster() -> None:
    from pipelines import dbt, instance

    instance.prepare()
    with suppress(dbt.BuildFailed):  # the code location says so where a person sees it, and the rest works
        dbt.manifest()
