"""JupyterLab: the configuration of its server and its kernels."""
