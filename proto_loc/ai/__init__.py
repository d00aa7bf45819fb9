"""Questions in plain words: ``ask`` runs one query, ``chat`` runs PandasAI in a sandbox.

    from proto_loc.ai import ask, chat
    ask("Which product had the most revenue?")

Both need the environment ``notebooks``; its packages are imported when a name is first used.
The packages are named ``asking`` and ``chatting``, because a package named ``ask`` would shadow
the function ``ask``.
"""

import importlib

_MODULES = {
    "ask": "asking.queries",
    "Answer": "asking.queries",
    "chat": "chatting.conversation",
    "Chat": "chatting.conversation",
}

__all__ = ["Answer", "Chat", "ask", "chat"]


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    from proto_loc.ai import llm

    llm.warm()  # a question is likely to follow, so LiteLLM is imported in the background
    return value
