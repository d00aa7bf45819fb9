"""``loc ask``: turns a question into one query, and measures a model with sets of questions."""
