"""Reads, checks and shortens the YAML files of ``superset/bundle``.

The environments of Superset and of the command line import it; it needs only PyYAML and the guard.
"""
