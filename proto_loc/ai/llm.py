"""The language model: which one, what it may be sent, and one call to it through LiteLLM.

``LOC_LLM_MODEL`` names it as LiteLLM does (``openai/gpt-4o``, ``anthropic/...``, ``ollama/...``);
its key is in the provider's own variable. ``LOC_LLM_URL`` is the address of another server that
speaks OpenAI's API.
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
"""Where the key of a provider is; LiteLLM knows more providers and says itself what they lack."""

UNSET = (
    "Set LOC_LLM_MODEL to a model as LiteLLM names it and its provider's key, as in"
    " LOC_LLM_MODEL=anthropic/claude-sonnet-4-5 with ANTHROPIC_API_KEY, or"
    " LOC_LLM_MODEL=ollama/llama3.1 for a model on this machine; docs/ai.md lists the providers."
)


class NoModel(LocError):
    """No model is set, or its key is missing; nothing was sent."""


@dataclass(frozen=True)
class Model:
    """A model as LiteLLM is told of it."""

    name: str
    url: str = ""
    """Where to reach it, if not at its provider's own address."""
    timeout: float = 60.0
    """Seconds for one answer."""


def model() -> Model:
    """The model of the settings.

    Raises:
        NoModel: none is set, or its key is missing.
        UsageError: a setting is unusable.
    """
    name, url = (
        os.environ.get("LOC_LLM_MODEL", "").strip(),
        os.environ.get("LOC_LLM_URL", "").strip(),
    )
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
            f"LOC_LLM_URL={url!r} is no address.",
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
    """Say on stderr, once a process and once a terminal session, which values of the data go to the
    model.

    Args:
        what: such values, as the object of a sentence.
    """
    current, to = model(), f"{os.getsid(0)} {what}"
    if (current.name, what) in _announced:
        return
    _announced.add((current.name, what))
    mark = settings().run / "llm-announced"
    line = f"{current.name} {current.url} {to}\n"
    with suppress(OSError):  # a mark that cannot be kept is a note too many
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
    """LiteLLM, imported once: it takes seconds, so not before it is needed."""
    with _loading:
        if "litellm" in sys.modules:
            return sys.modules["litellm"]
        os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = (
            "True"  # else it asks the network for prices at import
        )
        os.environ["LITELLM_MODE"] = (
            "PRODUCTION"  # else it reads any .env on the way up from the working folder
        )
        collects = gc.isenabled()
        gc.disable()  # 3,000 modules leave little to collect; a fifth of the time
        try:
            import litellm
        finally:
            if collects:
                gc.enable()
        logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)  # what it logs, it also raises
        litellm.telemetry = False
        litellm.suppress_debug_info = True
        litellm.drop_params = True  # a model that takes no temperature is asked without one
        return litellm


def warm() -> None:
    """Begin to import LiteLLM in the background, if a model is set."""
    if os.environ.get("LOC_LLM_MODEL") and "litellm" not in sys.modules:
        threading.Thread(target=lambda: _quietly(_litellm), daemon=True).start()


def _quietly(work) -> None:
    with suppress(Exception):  # who needs it meets the same failure, and says it
        work()


def complete(messages: list[dict]) -> str:
    """The model's answer to a conversation of ``{"role": ..., "content": ...}``.

    Raises:
        LocError: no model is set, it cannot be reached, refuses, or answers nothing; in plain
            sentences.
    """
    asked = model()
    litellm = _litellm()
    options = {"api_base": asked.url} if asked.url else {}
    key = KEYS.get(asked.name.partition("/")[0], "")
    if asked.url and not os.environ.get(key):
        options["api_key"] = (
            "none"  # a server of one's own seldom wants one, and the client insists on some
        )
    try:
        answer = litellm.completion(
            model=asked.name,
            messages=messages,
            temperature=0,
            timeout=asked.timeout,
            num_retries=0,
            max_retries=0,
            **options,
        )
        choice = answer.choices[0]
        text = choice.message.content
    except Exception as error:
        raise _explained(error, asked, key, litellm) from error
    if not text or not text.strip():
        refused = getattr(choice.message, "refusal", None) or choice.finish_reason
        raise LocError(
            f"{asked.name} gave an empty answer.",
            f"It ended with: {refused}.",
            "Ask again, or differently.",
        )
    return text


def _explained(error: Exception, asked: Model, key: str, litellm) -> LocError:
    """What a failed call means to a person; the most specific kinds come first."""
    name, where, reason = asked.name, f" at {asked.url}" if asked.url else "", _first(error)
    kinds = litellm.exceptions
    if "socksio" in str(error):
        return LocError(
            f"{name}{where} cannot be asked through a SOCKS proxy.",
            f"{_socks()} names one, and the client of language models knows none.",
            "Unset it for this command (a model on this machine needs no proxy), or set it to an"
            " HTTP proxy.",
        )
    if isinstance(error, (kinds.AuthenticationError, kinds.PermissionDeniedError)):
        return LocError(
            f"{name}{where} does not take the key.",
            reason,
            f"Check {key or 'the key of its provider'}.",
        )
    if isinstance(error, kinds.RateLimitError):
        return LocError(
            f"{name}{where} takes no more questions for now.",
            reason,
            "Wait, or check your quota there.",
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
            f"The question is too long for {name}.", reason, "Use a model that reads more."
        )
    if isinstance(error, kinds.ContentPolicyViolationError):
        return LocError(f"{name} refused the question.", reason, "Ask it differently.")
    # LiteLLM makes an internal error of a server that is not there.
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
    """The variable that names a SOCKS proxy."""
    return next(
        (
            key
            for key, value in os.environ.items()
            if value.startswith("socks") and "proxy" in key.lower()
        ),
        "",
    )


def _first(error: Exception) -> str:
    """The first line of what it says, without LiteLLM's own prefixes."""
    text = str(error).strip().split("\n")[0]
    while text.startswith("litellm."):
        text = text.partition(": ")[2]
    return (text[:300] or type(error).__name__).rstrip(".") + "."
