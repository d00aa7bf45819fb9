"""Service ``home``: the home page, with the state of all others and links to their pages."""

from proto_loc.services.service import Service

SERVICE = Service(
    ("python", "-P", "-m", "proto_loc.home.server"),
    secret="home",
    more_secrets={"METRICS": "metrics"},
    port="home",
    links={"Home": "/?token={secret}"},
)
