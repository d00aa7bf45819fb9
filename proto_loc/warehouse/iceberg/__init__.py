"""Keeps ``prod`` in Iceberg tables, which Trino reads and writes and Nessie versions.

A version is a tag of Nessie, ``v12``, and a catalogue of Trino of that name, which reads the tag:
no statement through it ever sees two versions. The branch ``main`` is at the published version, for
whoever reads the catalogue ``prod``. A write session is a branch with a catalogue of its own; to
publish it is to move ``main``, which Nessie does only if ``main`` is where the session began.
"""
