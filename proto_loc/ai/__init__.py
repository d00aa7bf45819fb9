"""Questions in plain words: ``ask`` (SQL or a metric, no generated code), ``chat`` (PandasAI, its
code in a sandbox).

    from proto_loc.ai import ask, chat
    ask("Which product had the most revenue?")

The packages that these need are in the environment ``notebooks``; they are imported when a name
is first used. The rooms are called ``asking`` and ``chatting``, because a package ``ask`` would
take the place of the function in ``from proto_loc.ai import ask``.
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

    llm.warm()  # a question is likely next: LiteLLM is imported in the background meanwhile
    return value
