"""``loc discover``: reports what is in the marts and what the last publish changed."""
