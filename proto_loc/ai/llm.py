"""Calls the configured language model through LiteLLM, and decides what may be sent to it.

``LOC_LLM_MODEL`` is LiteLLM's name of the model (``openai/gpt-4o``, ``anthropic/...``,
``ollama/...``); the key is in the provider's own variable. ``LOC_LLM_URL`` is the address of
another server with OpenAI's API.
"""

import gc
import logging
import os
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass

from proto_loc.errors import LocError, UsageError
from proto_loc.settings import private_folder, settings

KEYS = {
    "openai": "OPENAI_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
    "groq": "GROQ_API_KEY",
    "gemini": "GEMINI_API_KEY",
    "xai": "XAI_API_KEY",
}
"""Provider → the variable with its key. LiteLLM reports a missing key of other providers."""

UNSET = (
    "Set LOC_LLM_MODEL to a model as LiteLLM names it and its provider's key, as in"
    " LOC_LLM_MODEL=anthropic/claude-sonnet-4-5 with ANTHROPIC_API_KEY, or"
    " LOC_LLM_MODEL=ollama/llama3.1 for a model on this machine; docs/ai.md lists the providers."
)


class NoModel(LocError):
    """No model is set, or its key is missing; nothing was sent."""


@dataclass(frozen=True)
class Model:
    """A model and how to reach it."""

    name: str
    url: str = ""
    """The server's address, if it is not the provider's own."""
    timeout: float = 60.0
    """Seconds for one answer."""


def model() -> Model:
    """Read the model from the settings.

    Raises:
        NoModel: none is set, or its key is missing.
        UsageError: a setting is not valid.
    """
    name = os.environ.get("LOC_LLM_MODEL", "").strip()
    url = os.environ.get("LOC_LLM_URL", "").strip()
    if not name:
        raise NoModel("No language model is set.", "", UNSET)
    provider, _, rest = name.partition("/")
    if not rest:
        raise UsageError(
            f"LOC_LLM_MODEL={name!r} names no provider.",
            "LiteLLM's names are provider/model.",
            f"Write it as openai/{name}, or with the provider that has it.",
        )
    if url and not url.startswith(("http://", "https://")):
        raise UsageError(
            f"LOC_LLM_URL={url!r} is not a URL.",
            "",
            "Write it as http://host:port/v1 or https://....",
        )
    key = KEYS.get(provider)
    if key and not os.environ.get(key) and not url:
        raise NoModel(
            f"{name} needs a key.", f"{key} is not set.", f"Set {key} to your key of {provider}."
        )
    return Model(name, url, _timeout())


def _timeout() -> float:
    text = os.environ.get("LOC_LLM_TIMEOUT", "") or "60"
    with suppress(ValueError):
        if 0 < float(text) < 3600:
            return float(text)
    raise UsageError(
        f"LOC_LLM_TIMEOUT={text!r} is not usable.",
        "It is in seconds.",
        "Set it to 60, or unset it.",
    )


def sends_rows() -> bool:
    """Whether values of the data may go to the model (``LOC_LLM_SEND_ROWS``, default 1).

    Raises:
        UsageError: it is neither 0 nor 1.
    """
    text = os.environ.get("LOC_LLM_SEND_ROWS", "") or "1"
    if text not in ("0", "1"):
        raise UsageError(
            f"LOC_LLM_SEND_ROWS={text!r} is not usable.",
            "",
            "Set it to 1, or to 0 to send no values.",
        )
    return text == "1"


_announced: set[tuple[str, str]] = set()


def announce(what: str) -> None:
    """Print to stderr which values of the data go to the model.

    It is printed once per process, and in a terminal once per session.

    Args:
        what: those values, as the subject of a sentence.
    """
    current, to = model(), f"{os.getsid(0)} {what}"
    if (current.name, what) in _announced:
        return
    _announced.add((current.name, what))
    mark = settings().run / "llm-announced"
    line = f"{current.name} {current.url} {to}\n"
    with suppress(OSError):  # if the mark cannot be written, the note is printed again
        known = mark.read_text().splitlines(keepends=True) if mark.exists() else []
        if line in known and sys.stdin and sys.stdin.isatty():
            return
        private_folder(mark.parent)
        mark.write_text("".join([*known[-50:], line]))
    where = f"{current.name} at {current.url}" if current.url else current.name
    print(
        f"note: {what} are sent to {where}; LOC_LLM_SEND_ROWS=0 sends names and descriptions only.",
        file=sys.stderr,
    )


_loading = threading.Lock()


def _litellm():
    """Import LiteLLM once, when it is needed, because that takes seconds."""
    with _loading:
        if "litellm" in sys.modules:
            return sys.modules["litellm"]
        # Otherwise it downloads prices at import, and reads the .env of any parent folder.
        os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
        os.environ["LITELLM_MODE"] = "PRODUCTION"
        collects = gc.isenabled()
        gc.disable()  # while it imports 3,000 modules: saves a fifth of the time
        try:
            import litellm
        finally:
            if collects:
                gc.enable()
        logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)  # it also raises what it logs
        litellm.telemetry = False
        litellm.suppress_debug_info = True
        litellm.drop_params = True  # drops the temperature for a model that does not accept one
        return litellm


def warm() -> None:
    """Start to import LiteLLM in the background, if a model is set."""

    def load() -> None:
        with suppress(Exception):  # the call that needs it fails in the same way, and reports it
            _litellm()

    if os.environ.get("LOC_LLM_MODEL") and "litellm" not in sys.modules:
        threading.Thread(target=load, daemon=True).start()


def complete(messages: list[dict]) -> str:
    """Send a conversation of ``{"role": ..., "content": ...}``; return the model's answer.

    Raises:
        LocError: no model is set, it cannot be reached, it refuses, or its answer is empty.
    """
    asked = model()
    litellm = _litellm()
    options = {"temperature": 0, "timeout": asked.timeout, "num_retries": 0, "max_retries": 0}
    options |= {"api_base": asked.url} if asked.url else {}
    key = KEYS.get(asked.name.partition("/")[0], "")
    if asked.url and not os.environ.get(key):
        options["api_key"] = "none"  # a private server seldom needs one, but the client does
    try:
        answer = litellm.completion(model=asked.name, messages=messages, **options)
        choice = answer.choices[0]
        text = choice.message.content
    except Exception as error:
        raise _explained(error, asked, key, litellm) from error
    if not text or not text.strip():
        refused = getattr(choice.message, "refusal", None) or choice.finish_reason
        raise LocError(
            f"{asked.name} gave an empty answer.",
            f"It ended with: {refused}.",
            "Ask it differently.",
        )
    return text


def _explained(error: Exception, asked: Model, key: str, litellm) -> LocError:
    """The error of a failed call, in sentences; the most specific exceptions come first."""
    name, where, reason = asked.name, f" at {asked.url}" if asked.url else "", _first(error)
    kinds = litellm.exceptions
    if _socks() and any(text in str(error) for text in ("socksio", "Unknown scheme for proxy")):
        return LocError(
            f"{name}{where} cannot be reached through a SOCKS proxy.",
            f"{_socks()} names one, and the client of language models does not support it.",
            "Unset it for this command (a model on this machine needs no proxy), or set it to an"
            " HTTP proxy.",
        )
    if isinstance(error, (kinds.AuthenticationError, kinds.PermissionDeniedError)):
        return LocError(
            f"{name}{where} refuses the key.",
            reason,
            f"Check {key or 'the key of its provider'}.",
        )
    if isinstance(error, kinds.RateLimitError):
        return LocError(
            f"{name}{where} accepts no more questions for now.",
            reason,
            "Wait, or check your quota.",
        )
    if isinstance(error, kinds.Timeout):
        return LocError(
            f"{name}{where} did not answer within {asked.timeout:g} s.",
            "",
            "Try again, or raise LOC_LLM_TIMEOUT.",
        )
    if isinstance(error, kinds.NotFoundError):
        return LocError(
            f"{name}{where} does not exist.", reason, "Check LOC_LLM_MODEL and LOC_LLM_URL."
        )
    if isinstance(error, kinds.ContextWindowExceededError):
        return LocError(
            f"The question is too long for {name}.", reason, "Use a model with a larger context."
        )
    if isinstance(error, kinds.ContentPolicyViolationError):
        return LocError(f"{name} refused the question.", reason, "Ask it differently.")
    # LiteLLM reports a server that does not exist as an internal error.
    if (
        isinstance(error, (kinds.APIConnectionError, kinds.ServiceUnavailableError))
        or "Connection error" in reason
    ):
        return LocError(
            f"{name}{where} cannot be reached.",
            reason,
            "Check the network and LOC_LLM_URL, and that it is up.",
        )
    return LocError(
        f"{name}{where} failed.", reason, "Check LOC_LLM_MODEL and LOC_LLM_URL, and see docs/ai.md."
    )


def _socks() -> str:
    """Return the variable that names a SOCKS proxy; empty if there is none."""
    names = (name for name, value in os.environ.items() if value.startswith("socks"))
    return next((name for name in names if "proxy" in name.lower()), "")


def _first(error: Exception) -> str:
    """The first line of an exception's message, without LiteLLM's prefixes."""
    text = str(error).strip().split("\n")[0]
    while text.startswith("litellm."):
        text = text.partition(": ")[2]
    return (text[:300] or type(error).__name__).rstrip(".") + "."
