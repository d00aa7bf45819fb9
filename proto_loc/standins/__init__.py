"""Stand-ins for programs that a machine cannot install; each states the reason at its top."""
