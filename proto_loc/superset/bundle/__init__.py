"""The dashboards that are kept as YAML in ``superset/bundle``: their short form, and what can be
wrong with them.

Superset's environment imports this as well as the CLI's; it needs PyYAML and the guard only.
"""
