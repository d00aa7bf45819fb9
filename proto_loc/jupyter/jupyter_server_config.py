"""Configuration of JupyterLab's server: local names only, always a token, no internet."""

import os
import warnings
from pathlib import Path
from urllib.parse import urlsplit

from jupyter_server.auth.identity import PasswordIdentityProvider

from proto_loc import logs
from proto_loc.jupyter import request_limits
from proto_loc.settings import ROOT, origin

WORK = "work"
"""The user's folder in ``notebooks/``: git ignores it, and notebooks there keep their output."""


class TokenProvider(PasswordIdentityProvider):
    """Accepts the token; refuses pages of other origins even with it."""

    def should_check_origin(self, handler) -> bool:
        return True


def without_output(model: dict, path: str, **_: object) -> None:
    """Remove output, counts and kernel details before a tracked notebook is saved.

    So running a notebook does not change it for git.
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
        metadata["kernelspec"]["display_name"] = "Python 3"  # the same on every machine


forwarded = urlsplit(origin(int(os.environ["JUPYTER_PORT"])))
home = Path(os.environ["LOC_RUN"], "jupyter")
(ROOT / "notebooks" / WORK).mkdir(exist_ok=True)

# Killed servers and kernels leave files with the token or a kernel's key. A run folder has only one
# server, so all of these files are old.
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
c.ServerApp.allow_root = True  # for a container; it listens on loopback only
c.ServerApp.quit_button = False  # the supervisor would start it again

# Access. The token is read from its file, because others can see a command or an environment.
c.ServerApp.identity_provider_class = TokenProvider
c.IdentityProvider.token = Path(os.environ["LOC_SECRET_FILE"]).read_text().strip()
c.PasswordIdentityProvider.allow_password_change = False
c.ServerApp.allow_unauthenticated_access = False
c.ServerApp.allow_remote_access = False
c.ServerApp.local_hostnames = sorted({"127.0.0.1", "localhost", forwarded.hostname})
c.IdentityProvider.cookie_options = {"samesite": "Lax" if forwarded.scheme == "https" else "Strict"}
if forwarded.scheme == "https":
    c.ServerApp.allow_origin = forwarded.geturl()

# Limit the size of a request; request_limits.py limits anonymous ones. Connect to kernels by Unix
# sockets of this user, because every user of the machine can listen to TCP.
c.ServerApp.max_body_size = c.ServerApp.max_buffer_size = request_limits.LOGGED_IN
c.MappingKernelManager.kernel_manager_class = "proto_loc.jupyter.kernel_managers.ServerManager"

# A terminal would end with the service; a kernel can run the same commands.
c.ServerApp.terminals_enabled = False
c.ServerApp.jpserver_extensions = {
    "jupyterlab": True,
    "proto_loc.jupyter.request_limits": True,
    "jupyter_lsp": False,  # there are no language servers
    "jupyter_server_terminals": False,
    "jupysql_plugin": False,
    "notebook_shim": False,
}

# Files that the server writes. The trash would be the desktop's. Jupyter reads this file twice, so
# it also sets the hook twice.
warnings.filterwarnings("ignore", "Overriding existing pre_save_hook")
c.FileContentsManager.pre_save_hook = without_output
c.FileContentsManager.delete_to_trash = False
c.ServerApp.cookie_secret_file = str(home / "cookie-secret")

if logs.wants_json():
    formatter = {"class": "proto_loc.logs.Formatter"}
    c.Application.logging_config = {"formatters": {"console": formatter}}

# Features that would use the internet.
c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
c.LabApp.extension_manager = "readonly"  # extensions come from golden.toml
