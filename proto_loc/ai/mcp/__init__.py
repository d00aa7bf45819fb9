"""``loc mcp``: the published data as tools for programs that hold a language model."""
