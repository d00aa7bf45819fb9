"""Starts Nessie or a node of Trino for ``loc exec``: ``python -m proto_loc.trino.servers NAME``.

This process becomes the server's Java. A child of it makes the file ``NAME.ready`` in the run
folder once the server answers, and exits.
"""

import os
import sys
import time
from pathlib import Path

from proto_loc.errors import LocError, exit_on_error
from proto_loc.settings import private_folder, settings
from proto_loc.trino import configuration, java, places, readiness

INHERITED = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "QUARKUS_", "NESSIE_")
"""Prefixes of variables that would change what a server does."""


def command(name: str) -> tuple[list[str], dict[str, str]]:
    """The command of a server and its environment; its configuration is written.

    Args:
        name: ``nessie``, ``trino`` or ``trino-worker``.

    Raises:
        LocError: Java or the server is missing, or a setting or secret cannot be used.
    """
    program = java.find()
    part = places.server() if name in places.NODES else places.nessie_program()
    if not part.exists():
        raise LocError(f"{name} is not installed.", f"There is no {part}.", "./loc setup trino")
    env = {key: value for key, value in os.environ.items() if not key.startswith(INHERITED)}
    if name not in places.NODES:
        heap = f"-Xmx{configuration.NESSIE_HEAP}"
        options = [heap, "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError", *_native()]
        options += ["-XX:TieredStopAtLevel=1"]  # it does little at a time
        return [str(program), *options, "-jar", str(part)], env | configuration.nessie()
    etc = configuration.write(name, vector=java.has_module(program, "jdk.incubator.vector"))
    argv = [
        *(str(program), f"@{etc / 'jvm.config'}", f"-Dconfig={etc / 'config.properties'}"),
        *(f"-Dlog.levels-file={etc / 'log.properties'}", "-cp", f"{part / 'lib'}/*"),
        "io.trino.server.TrinoServer",
    ]
    return argv, env | configuration.node_variables()


def _native() -> list[str]:
    return ["--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow"]


def main(name: str) -> None:
    """Become the server.

    Raises:
        LocError: it cannot be started.
    """
    argv, env = command(name)
    ready = settings().run / f"{name}.ready"
    ready.unlink(missing_ok=True)
    _watch(name, ready)
    folder = private_folder(places.etc(name))
    os.chdir(folder)  # where Trino looks for etc/, and Java leaves a file after a crash
    os.execve(argv[0], argv, env)


def _watch(name: str, ready: Path) -> None:
    """Let a process that is no child of the server make the file once the server is ready."""
    server = os.getpid()
    if child := os.fork():
        os.waitpid(child, 0)
        return
    if os.fork():
        os._exit(0)
    try:
        while not readiness.is_ready(name):
            time.sleep(1)
            os.kill(server, 0)
        ready.touch()
    finally:
        os._exit(0)


if __name__ == "__main__":
    with exit_on_error():
        main(sys.argv[1])
