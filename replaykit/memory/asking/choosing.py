"""From what the caller names to the model that answers."""

from __future__ import annotations

from replaykit.errors import UsageError
from replaykit.memory.asking import extractive
from replaykit.memory.asking.callables import CallableModel
from replaykit.memory.asking.extractive import Extractive
from replaykit.memory.asking.models import Model, ModelChoice
from replaykit.memory.asking.openai_compatible import SERVERS, OpenAICompatible
from replaykit.memory.asking.options import ModelOptions

__all__ = ["model_for"]

_CHOICES = "give 'extractive', " + ", ".join(f"'{provider}:NAME'" for provider in SERVERS) + ", or a callable"


def model_for(choice: ModelChoice, options: ModelOptions) -> Model:
    """
    Return the model that *choice* means.

    Raises:
        UsageError: There is none such, it is not set up, or an option means nothing to it.
    """
    if isinstance(choice, str) and ":" in choice:
        return _served(choice, options)
    if isinstance(choice, str) and choice not in (extractive.PROVIDER, extractive.MODEL):
        raise UsageError(f"there is no model {choice[:80]!r}: {_CHOICES} (question, hits) -> str")
    model: Model = Extractive() if isinstance(choice, str) else _called(choice)
    if given := options.given():
        raise UsageError(f"{given[0]}= means nothing to the model {model.name}: it is for a server's model")
    return model


def _served(choice: str, options: ModelOptions) -> Model:
    provider, _, name = choice.partition(":")
    if provider not in SERVERS or not name:
        raise UsageError(f"there is no model {choice[:80]!r}: {_CHOICES} (question, hits) -> str")
    return OpenAICompatible(provider, name, options)


def _called(choice: object) -> Model:
    if not callable(choice):
        raise UsageError(f"a model is a text or a callable, not {type(choice).__name__}: {_CHOICES}")
    return CallableModel(choice)
