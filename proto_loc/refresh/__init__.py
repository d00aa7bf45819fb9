"""The main job: load what is new, build, audit, publish."""
