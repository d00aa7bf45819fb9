"""JupyterLab as the service ``jupyter``: this machine's names only, always a token, nothing asked
of the internet.
"""

import os
import warnings
from pathlib import Path
from urllib.parse import urlsplit

from jupyter_server.auth.identity import PasswordIdentityProvider

from proto_loc.jupyter import request_limits
from proto_loc.settings import ROOT, origin

WORK = "work"
"""Of ``notebooks/``, the user's own folder: git ignores it, and what is saved there keeps its
output.
"""


class TokenProvider(PasswordIdentityProvider):
    """The token, by the link, the log-in page or a header; and pages of other origins are
    refused even with it.
    """

    def should_check_origin(self, handler) -> bool:
        return True


def without_output(model: dict, path: str, **_: object) -> None:
    """Save what git tracks without output, counts and what the kernel says of itself: a run is
    no change.
    """
    if (
        model["type"] != "notebook"
        or path.strip("/").split("/")[0] == WORK
        or model["content"]["nbformat"] != 4
    ):
        return
    for cell in model["content"]["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    metadata = model["content"]["metadata"]
    if "language_info" in metadata:
        metadata["language_info"] = {"name": metadata["language_info"].get("name", "python")}
    if metadata.get("kernelspec", {}).get("name") == "python3":
        metadata["kernelspec"]["display_name"] = "Python 3"  # as anywhere else


forwarded = urlsplit(origin(int(os.environ["JUPYTER_PORT"])))
home = Path(os.environ["LOC_RUN"], "jupyter")
(ROOT / "notebooks" / WORK).mkdir(exist_ok=True)

# Of servers and kernels that were killed, with the token or a kernel's key in them. One run folder
# has one server.
for stale in (
    *home.glob("runtime/jpserver-*"),
    *home.glob("runtime/kernel-*.json"),
    *home.glob("ipc/*"),
):
    stale.unlink(missing_ok=True)

c = get_config()  # noqa: F821
c.ServerApp.ip = "127.0.0.1"
c.ServerApp.port_retries = 0
c.ServerApp.open_browser = False
c.ServerApp.root_dir = str(ROOT / "notebooks")
c.ServerApp.allow_root = (
    True  # in a container; it listens on loopback, and a kernel is its user's in any case
)
c.ServerApp.quit_button = False  # it would be started again

# Who gets in. The token is read from its file: a command or an environment can be seen by others.
c.ServerApp.identity_provider_class = TokenProvider
c.IdentityProvider.token = Path(os.environ["LOC_SECRET_FILE"]).read_text().strip()
c.PasswordIdentityProvider.allow_password_change = False
c.ServerApp.allow_unauthenticated_access = False
c.ServerApp.allow_remote_access = False
c.ServerApp.local_hostnames = sorted({"127.0.0.1", "localhost", forwarded.hostname})
c.IdentityProvider.cookie_options = {"samesite": "Lax" if forwarded.scheme == "https" else "Strict"}
if forwarded.scheme == "https":
    c.ServerApp.allow_origin = forwarded.geturl()

# How much of a request is read (request_limits.py: of an unknown sender), and how kernels
# are reached: by sockets of this user, as every user of the machine can listen to TCP.
c.ServerApp.max_body_size = c.ServerApp.max_buffer_size = request_limits.LOGGED_IN
c.MappingKernelManager.kernel_manager_class = "proto_loc.jupyter.kernel_managers.ServerManager"

# A shell here would be a part of the service, and end with it; a kernel can do all that one can.
c.ServerApp.terminals_enabled = False
c.ServerApp.jpserver_extensions = {
    "jupyterlab": True,
    "proto_loc.jupyter.request_limits": True,
    "jupyter_lsp": False,  # there are no language servers
    "jupyter_server_terminals": False,
    "jupysql_plugin": False,
    "notebook_shim": False,
}

# What it writes. Trash would be a folder of the desktop's. The hook is set twice, for this file is
# read twice.
warnings.filterwarnings("ignore", "Overriding existing pre_save_hook")
c.FileContentsManager.pre_save_hook = without_output
c.FileContentsManager.delete_to_trash = False
c.ServerApp.cookie_secret_file = str(home / "cookie-secret")

# What it would ask the internet for.
c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
c.LabApp.extension_manager = "readonly"  # extensions come from golden.toml
