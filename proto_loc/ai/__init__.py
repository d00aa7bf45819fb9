"""Questions in plain words: ``ask`` (SQL or a metric, no generated code), ``chat`` (PandasAI, its code in a sandbox).

    from proto_loc.ai import ask, chat
    ask("Which borough had the most revenue in January?")

The packages that this needs are in the environment ``notebooks``; whoever only imports the names of submodules pays for
none of them.
"""

import importlib

_WHERE = {"ask": "asking", "Answer": "asking", "chat": "chatting", "Chat": "chatting"}

__all__ = ["Answer", "Chat", "ask", "chat"]


def __getattr__(name: str):
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    from proto_loc.ai import llm

    llm.warm()  # who takes one of these is about to ask: the first question need not wait for all of LiteLLM
    return found
