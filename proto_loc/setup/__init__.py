"""Installs environments and Node packages from lock files, makes the locks, upgrades versions."""
