"""The main job ``refresh``: loads what is new, builds, audits and publishes."""
