"""``loc mcp``: offers the published data as tools to programs with a language model."""
