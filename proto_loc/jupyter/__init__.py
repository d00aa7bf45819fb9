"""JupyterLab: the server's configuration, and what its kernels bring."""
