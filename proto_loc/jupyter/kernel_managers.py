"""Who starts kernels: by Unix sockets in a folder that only this user can enter.

By TCP, Jupyter's own way, every user of the machine can subscribe to what a kernel is sent and what
it puts out.
"""

import secrets

from jupyter_client.manager import AsyncKernelManager
from jupyter_server.services.kernels.kernelmanager import ServerKernelManager

from proto_loc.settings import private_folder, settings


class _Private:
    folder = "jupyter/ipc"
    """Of the run folder: the sockets. JupyterLab's server empties its own at its start."""

    def __init__(self, **options) -> None:
        private_folder(settings().run / self.folder)
        path = settings().socket(
            f"{self.folder}/{secrets.token_hex(6)}-99"
        )  # each socket has a number behind it
        super().__init__(**{"transport": "ipc", "ip": str(path).removesuffix("-99")} | options)


class ServerManager(_Private, ServerKernelManager):
    """A kernel of JupyterLab's."""


class Manager(_Private, AsyncKernelManager):
    """A kernel of nbconvert's."""

    folder = "jupyter/ipc-nbconvert"
