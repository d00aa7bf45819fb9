"""``chat``: PandasAI on the marts, with a sandbox for the programs that a model writes."""
