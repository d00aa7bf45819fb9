"""Service ``jupyter``: JupyterLab on ``notebooks/``."""

from proto_loc.services.service import Service

SERVICE = Service(
    ("jupyter-lab",),
    environment="notebooks",
    variables={
        "JUPYTER_PORT": "{port}",
        # State is in the run folder; the configuration and the kernel are in the repository.
        "JUPYTER_CONFIG_DIR": "{run}/jupyter/config",
        "JUPYTER_DATA_DIR": "{run}/jupyter/data",
        "JUPYTER_RUNTIME_DIR": "{run}/jupyter/runtime",
        "JUPYTER_CONFIG_PATH": "{root}/proto_loc/jupyter",
        "JUPYTER_PATH": "{root}/proto_loc/jupyter",
        "IPYTHONDIR": "{run}/jupyter/ipython",
        "MPLCONFIGDIR": "{run}/jupyter/matplotlib",
    },
    secret="jupyter",
    port="jupyter",
    links={"JupyterLab": "/lab/tree/start_here.ipynb?token={secret}"},
)
