"""Conversations to prompt text by a model's Jinja template, in a sandbox and within bounds.

Renders as ``transformers`` does (same options, same globals; a test compares them), in the bounds
of ``template_sandbox``. Knows no tokens; called by ``hf_tokenizer``.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from jinja2 import TemplateError
from jinja2.exceptions import TemplateSyntaxError

from llm_server.contract import StartupFailure
from llm_server.models.failures import StartupError
from llm_server.models.template_sandbox import Sandbox
from llm_server.models.tokenizer import ChatMessage, PromptInvalid

TEMPLATE_CHARS = 256 * 1024


class ChatTemplate:
    """A compiled template; ``render`` may be called from any thread."""

    def __init__(
        self,
        source: str,
        special_tokens: Mapping[str, str],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),  # noqa: TID251  # the edge
    ) -> None:
        """Compile ``source``; ``special_tokens`` are its ``bos_token``, ``eos_token`` and so on.

        Raises:
            StartupError: ``ModelUnsupported`` if it is too long or not a Jinja template.
        """
        if len(source) > TEMPLATE_CHARS:
            raise _unsupported(f"it is over {TEMPLATE_CHARS} characters")
        self.source = source
        self._special_tokens = dict(special_tokens)
        self._environment = Sandbox()
        self._environment.globals["strftime_now"] = lambda form: clock().strftime(form)
        try:
            self._template = self._environment.from_string(source)
        except TemplateSyntaxError as error:
            raise _unsupported(f"line {error.lineno}: {error.message}") from error

    def render(self, messages: Sequence[ChatMessage]) -> str:
        """The prompt, with the opening of the assistant's answer at its end.

        Raises:
            PromptInvalid: the template refuses the messages, fails on them, or passes a bound.
        """
        turns = [{"role": message.role, "content": message.content} for message in messages]
        try:
            return self._environment.bounded(
                lambda: self._template.generate(
                    **self._special_tokens,
                    messages=turns,
                    tools=None,
                    documents=None,
                    add_generation_prompt=True,
                )
            )
        except TemplateError as error:
            reason = error.message or type(error).__name__
            raise PromptInvalid(
                f"the model's chat template refuses the messages: {reason}"
            ) from error
        except (TypeError, ValueError, KeyError, ArithmeticError, RecursionError) as error:
            raise PromptInvalid(
                f"the model's chat template failed on the messages: {type(error).__name__}: {error}"
            ) from error


def _unsupported(why: str) -> StartupError:
    return StartupError(StartupFailure.MODEL_UNSUPPORTED, f"the model's chat template: {why}")
