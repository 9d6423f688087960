"""Language models that answer a prompt: an OpenAI-compatible endpoint, or a chat model that transformers runs here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Protocol

from most.errors import MostError

_LEAST_ANSWER = 8
"""Tokens that the model's context must leave for an answer."""
_ALL_TURNED_DOWN = 10
"""Prompts turned down before any was answered, after which the run stops."""
Messages = list[dict[str, str]]


class Refused(Exception):
    """The model will not answer this prompt, though it may answer others."""


class Chat(Protocol):
    """Answers messages. `settings` are JSON values that decide the answer."""

    @property
    def name(self) -> str: ...
    @property
    def parallel(self) -> int: ...
    def settings(self) -> dict[str, Any]: ...
    def reply(self, messages: Messages, *, max_tokens: int, seed: int) -> str: ...


@dataclass(frozen=True, kw_only=True)
class EndpointSettings:
    """Where the model is asked.

    Args:
        base_url: ends in `/v1` as a rule.
        api_key_env: environment variable that holds the key; an unset one is sent as "none", which local servers
            accept.
        retries: after a lost connection, a time-out, 408, 409, 429 or 5xx; waits grow from 0.5 to 8 s, or are what
            the server asks for, up to a minute.
        parallel: requests at once.
    """

    base_url: str = ""
    model: str = ""
    api_key_env: str = "OPENAI_API_KEY"
    timeout_seconds: float = 120.0
    retries: int = 5
    temperature: float = 0.7
    parallel: int = 8

    def __post_init__(self) -> None:
        for name in ("base_url", "model"):
            if not getattr(self, name):
                raise MostError(f"endpoint.{name}", getattr(self, name), "must be given")
        if not self.base_url.startswith(("http://", "https://")):
            raise MostError("endpoint.base_url", self.base_url, "must begin with http:// or https://")
        if self.timeout_seconds <= 0 or self.retries < 0 or self.parallel < 1 or not 0 <= self.temperature <= 2:
            raise MostError("endpoint", self, "timeout_seconds > 0, retries >= 0, parallel >= 1, temperature in 0..2")


class EndpointChat:
    """An OpenAI-compatible endpoint, through the `openai` client (extra `dialogue`), which retries and waits."""

    name = "endpoint"

    def __init__(self, settings: EndpointSettings) -> None:
        try:
            import openai
        except ImportError as e:
            raise MostError("openai", "not installed", "install the extra: pip install 'most-speech[dialogue]'") from e
        self.how = settings
        self._openai = openai
        self._answered = False
        self._turned_down = 0
        self._client = openai.OpenAI(
            base_url=settings.base_url, api_key=os.environ.get(settings.api_key_env) or "none",
            timeout=settings.timeout_seconds, max_retries=settings.retries,
        )  # fmt: skip

    @property
    def parallel(self) -> int:
        return self.how.parallel

    def settings(self) -> dict[str, Any]:
        return {"model": self.how.model, "temperature": self.how.temperature}

    def reply(self, messages: Messages, *, max_tokens: int, seed: int) -> str:
        """The model's answer.

        Raises:
            Refused: the endpoint turns this prompt down (400, 413, 422), or answers nothing.
            MostError: no connection, a wrong key, an unknown model, trouble that outlasts the retries, an answer that
                is not of the protocol, or the first prompts all turned down.
        """
        try:
            answer = self._client.chat.completions.create(
                model=self.how.model, messages=messages, max_tokens=max_tokens, seed=seed,  # type: ignore[arg-type]
                temperature=self.how.temperature,
            )  # fmt: skip
        except self._openai.APIStatusError as e:
            if e.status_code in (400, 413, 422) and self._may_be_the_prompt():
                raise Refused(f"endpoint: {e.status_code}") from e
            raise MostError("endpoint", self.how.base_url, f"answers {e.status_code}: {e.message}") from e
        except self._openai.APIConnectionError as e:
            tried = f"could not be asked ({type(e).__name__}) in {self.how.retries + 1} attempts"
            raise MostError("endpoint", self.how.base_url, tried) from e
        except (self._openai.OpenAIError, ValueError) as e:  # a body that is no JSON
            raise MostError("endpoint", self.how.base_url, f"answers no chat completion ({type(e).__name__})") from e
        choices = getattr(answer, "choices", None)
        if not isinstance(choices, list):
            raise MostError("endpoint", self.how.base_url, "answers no chat completion; does base_url end in /v1?")
        self._answered = True
        if not choices or not choices[0].message.content:
            raise Refused("endpoint: no answer")
        return choices[0].message.content

    def _may_be_the_prompt(self) -> bool:
        """Whether 400 is about one prompt; where nothing but 400 came so far, it is about how every one is asked."""
        self._turned_down += 1
        return self._answered or self._turned_down < _ALL_TURNED_DOWN


@dataclass(frozen=True, kw_only=True)
class LocalSettings:
    """A chat model to load with transformers.

    Args:
        model: a folder, or OWNER/NAME on the hub.
        temperature: 0 takes the likeliest token.
    """

    model: str = ""
    device: str = "auto"
    dtype: str = "auto"
    temperature: float = 0.0

    def __post_init__(self) -> None:
        if not self.model:
            raise MostError("local.model", self.model, "must be a folder, or OWNER/NAME on the hub")
        if self.temperature < 0:
            raise MostError("local.temperature", self.temperature, "must be >= 0")


class LocalChat:
    """A causal LM with a chat template, run by transformers."""

    name = "local"
    parallel = 1

    def __init__(self, settings: LocalSettings) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.how = settings
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(settings.model)
            model: Any = AutoModelForCausalLM.from_pretrained(settings.model, dtype=settings.dtype)
        except (OSError, ValueError) as e:
            raise MostError("local.model", settings.model, f"could not be loaded ({e})") from e
        if not self._tokenizer.chat_template:
            raise MostError("local.model", settings.model, "has no chat template; name an instruction-tuned model")
        device = settings.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model = model.to(device).eval()

    def settings(self) -> dict[str, Any]:
        return {"model": self.how.model, "temperature": self.how.temperature, "dtype": self.how.dtype}

    def reply(self, messages: Messages, *, max_tokens: int, seed: int) -> str:
        """The model's answer.

        Raises:
            Refused: the prompt is longer than the model's context.
        """
        import torch
        from transformers import set_seed

        inputs = self._tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        ).to(self._model.device)
        n = inputs["input_ids"].shape[1]
        longest = getattr(self._model.config, "max_position_embeddings", None)
        if longest:
            max_tokens = min(max_tokens, longest - n)
        if max_tokens < _LEAST_ANSWER:
            raise Refused("longer than the model's context")
        sampling = (
            {"do_sample": True, "temperature": self.how.temperature} if self.how.temperature else {"do_sample": False}
        )
        set_seed(seed)
        with torch.inference_mode():
            out = self._model.generate(
                **inputs, max_new_tokens=max_tokens,
                pad_token_id=self._tokenizer.pad_token_id or self._tokenizer.eos_token_id,
                **sampling,
            )  # fmt: skip
        return self._tokenizer.decode(out[0, n:], skip_special_tokens=True)
