"""Prepares what the services need before they start; a second run takes about a second."""

from importlib import import_module

from proto_loc import credentials, services
from proto_loc.settings import private_folder, settings
from proto_loc.setup import environments


def prepare() -> None:
    """Install the environments of services and sources, make secrets, call the services' steps."""
    private_folder(settings().run / "logs")
    declared = services.SERVICES.values()
    optional = set(environments.needed()) & set(environments.optional())
    environments.sync(*sorted({service.environment for service in declared} | optional))
    for service in declared:
        for secret in filter(None, (service.secret, *service.more_secrets.values())):
            credentials.secret(secret)
    for service in declared:
        for step in service.prepare:
            module, _, function = step.partition(":")
            getattr(import_module(module), function)()
