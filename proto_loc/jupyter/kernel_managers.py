"""Kernel managers that talk to kernels over Unix sockets in a folder of this user only.

Jupyter's default is TCP, where every user of the machine can read a kernel's input and output.
"""

import secrets

from jupyter_client.manager import AsyncKernelManager
from jupyter_server.services.kernels.kernelmanager import ServerKernelManager

from proto_loc.settings import private_folder, settings


class _Private:
    folder = "jupyter/ipc"
    """Folder of the sockets in the run folder; JupyterLab's server empties its own at its start."""

    def __init__(self, **options) -> None:
        private_folder(settings().run / self.folder)
        # Jupyter appends the number of each socket to the path.
        path = settings().socket(f"{self.folder}/{secrets.token_hex(6)}-99")
        super().__init__(**{"transport": "ipc", "ip": str(path).removesuffix("-99")} | options)


class ServerManager(_Private, ServerKernelManager):
    """Starts kernels of JupyterLab."""


class Manager(_Private, AsyncKernelManager):
    """Starts kernels of nbconvert."""

    folder = "jupyter/ipc-nbconvert"
