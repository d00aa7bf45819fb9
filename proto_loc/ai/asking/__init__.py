"""``loc ask``: one question becomes one query; sets of questions measure a model."""
