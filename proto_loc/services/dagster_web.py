"""Service ``dagster-web``: Dagster's web server, with the dbt docs."""

from proto_loc.services.service import Service

SERVICE = Service(
    ("python", "-m", "proto_loc.dagster.web"),
    secret="dagster",
    port="dagster",
    links={"Dagster": "/?token={secret}", "dbt docs": "/dbt-docs/?token={secret}"},
)
