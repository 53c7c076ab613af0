"""Conversations to prompt text by a model's Jinja template, in a sandbox and within bounds.

Renders as ``transformers`` does (same options, same globals; a test compares them) but with
limits on time, on output and on repetition: a template comes with a model, and a model comes
from whoever published it. Knows no tokens; called by ``hf_tokenizer``.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.exceptions import SecurityError, TemplateSyntaxError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from llm_server.contract import StartupFailure
from llm_server.models.failures import StartupError
from llm_server.models.tokenizer import ChatMessage, PromptInvalid

TEMPLATE_CHARS = 256 * 1024
RENDERED_CHARS = 16 * 1024 * 1024
RENDER_SECONDS = 5.0
_REPEATED_ITEMS = 1_000_000


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
        self._environment = _BoundedEnvironment()
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


class _Generation(Extension):
    """``{% generation %}`` marks the assistant's text for training; for a prompt it is nothing."""

    tags = {"generation"}  # noqa: RUF012  # as Jinja declares it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return list(parser.parse_statements(("name:endgeneration",), drop_needle=True))


class _BoundedEnvironment(ImmutableSandboxedEnvironment):
    """The sandbox with a deadline, checked wherever a template calls something.

    Each loop calls something to get what it loops over, and the sandbox bounds ``range``, so
    a template cannot run long between two checks.
    """

    intercepted_binops = frozenset({"*", "**"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
        )
        self._rendering = threading.local()
        self.filters["tojson"] = _to_json
        self.globals["raise_exception"] = _raise_exception

    def bounded(self, start: Callable[[], Any]) -> str:
        """Run one rendering within ``RENDER_SECONDS`` and ``RENDERED_CHARS``."""
        self._rendering.deadline = time.monotonic() + RENDER_SECONDS
        chunks: list[str] = []
        length = 0
        for chunk in start():
            chunks.append(chunk)
            length += len(chunk)
            if length > RENDERED_CHARS:
                raise SecurityError(f"the prompt would exceed {RENDERED_CHARS} characters")
            self._check_deadline()
        return "".join(chunks)

    def call(  # as Jinja declares it
        __self,  # noqa: N805
        __context: Context,  # noqa: PYI063
        __obj: Any,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        __self._check_deadline()
        return super().call(__context, __obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        self._check_deadline()
        if operator == "**":
            raise SecurityError("chat templates may not use **")
        for sequence, count in ((left, right), (right, left)):
            if (
                isinstance(sequence, str | list | tuple)
                and isinstance(count, int)
                and len(sequence) * count > _REPEATED_ITEMS
            ):
                raise SecurityError("chat templates may not repeat that much")
        return super().call_binop(context, operator, left, right)

    def _check_deadline(self) -> None:
        if time.monotonic() > self._rendering.deadline:
            raise SecurityError(f"rendering took over {RENDER_SECONDS:g} s")


def _to_json(  # the filter of transformers: Jinja's own escapes HTML
    value: Any,
    ensure_ascii: bool = False,  # noqa: FBT001, FBT002
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,  # noqa: FBT001, FBT002
) -> str:
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _unsupported(why: str) -> StartupError:
    return StartupError(StartupFailure.MODEL_UNSUPPORTED, f"the model's chat template: {why}")
