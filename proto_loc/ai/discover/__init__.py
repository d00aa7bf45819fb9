"""``loc discover``: what is in the marts and what has changed, found without a model, told with
one.
"""
