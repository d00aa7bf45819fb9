"""Service ``cube``: Cube's server."""

from proto_loc.services.service import Service

SERVICE = Service(
    ("python", "-m", "proto_loc.cube.process"),
    variables={"CUBE_PORT": "{port}"},
    secret="cube",
    port="cube",
    prepare=("proto_loc.setup.node:install",),
)
