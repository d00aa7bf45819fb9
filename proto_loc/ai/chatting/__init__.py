"""``chat``: PandasAI on the marts; the programs that a model writes run in a sandbox."""
