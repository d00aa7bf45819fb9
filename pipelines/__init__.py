"""The sources of the platform: each folder declares one source as ``SOURCE``."""
