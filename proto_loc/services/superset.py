"""Services ``superset-provision`` and ``superset``: Superset's content and its web server."""

from proto_loc.services.service import Service

_VARIABLES = {
    "PYTHONPATH": "{root}",
    "SUPERSET_CONFIG_PATH": "{root}/proto_loc/superset/superset_config.py",
}

PROVISION = Service(
    ("python", "-m", "proto_loc.superset.provision", "--wait"),
    environment="superset",
    variables=_VARIABLES,
    secret="superset",
    more_secrets={"ADMIN": "superset-admin"},
)

SERVICE = Service(
    ("gunicorn", "--config", "python:proto_loc.superset.gunicorn_config"),
    environment="superset",
    # The worker processes of a server add up their figures in files of this folder.
    variables=_VARIABLES | {"PROMETHEUS_MULTIPROC_DIR": "{run}/superset/metrics"},
    secret="superset",
    port="superset",
    links={"Superset": "/"},
    login=("admin", "superset-admin"),
)
