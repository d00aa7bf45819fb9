"""``loc ask``: turns a question into one query, and evaluates a model with known questions."""
