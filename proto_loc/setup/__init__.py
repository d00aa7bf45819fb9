"""Installs environments and Node packages from lock files; makes and upgrades the locks."""
