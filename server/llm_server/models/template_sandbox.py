"""Where a chat template runs: Jinja's sandbox, with a deadline and a bound on what can grow.

A template comes with a model, and a model comes from whoever published it. The deadline is looked
at with every call, every filter and every turn of a loop; texts and lists are measured before they
are joined, repeated, replaced in or padded, so that no text gets longer than ``RENDERED_CHARS``,
and all that are made together ``_MADE_TEXTS`` times that.
"""

import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import wraps
from string import Formatter
from typing import Any, Final

from jinja2 import Environment, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

RENDERED_CHARS = 16 * 1024 * 1024
RENDER_SECONDS = 5.0
_MADE_TEXTS: Final = 32
_LIST_ITEMS: Final = 1_000_000
_PERCENT_FIELD: Final = re.compile(r"%(?:\([^)]*\))?[-#0 +]*(\*|\d*)(?:\.(\*|\d*))?[a-zA-Z]")
_NUMBERS: Final = re.compile(r"\d+")
_INTEGER_BITS: Final = 4096
_PADS: Final = frozenset(
    {"center", "ljust", "rjust", "zfill", "expandtabs", "indent", "wordwrap", "tojson"}
)
_SIZED: Final = frozenset({"batch", "slice", "tojson", "indent"})
_SIZE: Final = 10_000
_WATCHED: Final = " watched"
_JOINED: Final = " joined"
"""Names of filters that no template can write."""
_BARE: Final[tuple[Any, ...]] = ((), (), None, None)
"""A filter without arguments."""


class _Generation(Extension):
    """``{% generation %}`` marks the assistant's text for training; for a prompt it is nothing."""

    tags = {"generation"}  # noqa: RUF012  # as Jinja declares it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return list(parser.parse_statements(("name:endgeneration",), drop_needle=True))


class _Bounding(NodeTransformer):
    """Sends what is looped over, and what ``~`` joins, through filters of the sandbox."""

    def visit_For(self, loop: nodes.For) -> nodes.Node:  # noqa: N802  # as Jinja calls it
        self.generic_visit(loop)
        loop.iter = nodes.Filter(loop.iter, _WATCHED, *_BARE, lineno=loop.lineno)
        return loop

    def visit_Concat(self, concat: nodes.Concat) -> nodes.Node:  # noqa: N802  # as Jinja calls it
        self.generic_visit(concat)
        parts = nodes.List(concat.nodes, lineno=concat.lineno)
        return nodes.Filter(parts, _JOINED, *_BARE, lineno=concat.lineno)


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment of one template; ``bounded`` may be called from any thread."""

    intercepted_binops = frozenset({"*", "**", "+", "%"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
        )
        self._rendering = threading.local()
        self.filters["tojson"] = _to_json
        self.filters |= {name: self._measured(name, it) for name, it in self.filters.items()}
        self.filters |= {_WATCHED: self._watched, _JOINED: self._joined}
        self.globals["raise_exception"] = _raise_exception

    def concat(self, texts: Iterable[str]) -> str:
        """Join what a macro or a block has written, or what ``~`` stands between."""
        parts = [*texts]
        self._make(sum(map(len, parts)))
        return "".join(parts)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        _Bounding().visit(tree)
        tree.set_environment(self)
        return tree

    def bounded(self, start: Callable[[], Any]) -> str:
        """Run one rendering within ``RENDER_SECONDS`` and ``RENDERED_CHARS``."""
        self._rendering.deadline = time.monotonic() + RENDER_SECONDS
        self._rendering.made_chars = 0
        chunks: list[str] = []
        length = 0
        for chunk in start():
            chunks.append(chunk)
            length += len(chunk)
            _check_length(length)
            self._check_deadline()
        return "".join(chunks)

    def call(  # as Jinja declares it
        __self,  # noqa: N805
        __context: Context,  # noqa: PYI063
        __obj: Any,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Call what a template calls, unless it would make too long a text."""
        __self._check_deadline()
        method = getattr(__obj, "__wrapped__", __obj)  # Jinja wraps ``str.format``
        subject = getattr(method, "__self__", None)
        if isinstance(subject, str):
            if method.__name__ == "join" and args:
                args = ([*args[0]], *args[1:])
            if method.__name__ == "encode":
                raise SecurityError("chat templates may not make bytes")
            __self._make(_made_chars(method.__name__, subject, (*args, *kwargs.values())))
        return super().call(__context, __obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute what the operators come to that can make a text or a list longer."""
        self._check_deadline()
        match operator:
            case "**":
                raise SecurityError("chat templates may not use **")
            case "*" if isinstance(left, int) and isinstance(right, int):
                if left.bit_length() + right.bit_length() > _INTEGER_BITS:
                    raise SecurityError("chat templates may not count that far")
            case "*":
                self._repeat(left, right)
                self._repeat(right, left)
            case "+" if isinstance(left, str) and isinstance(right, str):
                self._make(len(left) + len(right))
            case "+" if isinstance(left, list | tuple) and isinstance(right, list | tuple):
                _check_items(len(left) + len(right))
            case "%" if isinstance(left, str):
                self._make(_percent_chars(left, right if isinstance(right, tuple) else (right,)))
        return super().call_binop(context, operator, left, right)

    def _measured(self, name: str, filter_: Callable[..., Any]) -> Callable[..., Any]:
        """Return a filter that looks at the deadline, and at its arguments, first."""

        @wraps(filter_)
        def measured(*args: Any, **kwargs: Any) -> Any:
            self._check_deadline()
            if name == "join":  # what it joins is the first of them, or comes after Jinja's own
                args = tuple([*arg] if isinstance(arg, Iterator) else arg for arg in args)
            passed = [arg for arg in (*args, *kwargs.values()) if not _is_of_jinja(arg)]
            if name in _SIZED and any(isinstance(a, int) and a > _SIZE for a in passed):
                raise SecurityError(f"chat templates may not ask {name} for that much")
            if name == "format" and passed and isinstance(passed[0], str):
                self._make(_percent_chars(passed[0], passed[1:]))
            else:
                self._make(_made_chars(name, passed[0], passed[1:]) if passed else 0)
            return filter_(*args, **kwargs)

        return measured

    def _watched(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            self._check_deadline()
            yield item

    def _joined(self, parts: Iterable[Any]) -> str:
        return self.concat(map(str, parts))

    def _repeat(self, subject: Any, times: Any) -> None:
        if not isinstance(times, int) or not isinstance(subject, str | list | tuple):
            return
        if isinstance(subject, str):
            self._make(len(subject) * times)
        else:
            _check_items(len(subject) * times)

    def _make(self, length: int) -> None:
        """Take note of a text that is about to be made."""
        _check_length(length)
        self._rendering.made_chars += max(length, 0)
        if self._rendering.made_chars > _MADE_TEXTS * RENDERED_CHARS:
            raise SecurityError("the chat template makes too many texts")

    def _check_deadline(self) -> None:
        if time.monotonic() > self._rendering.deadline:
            raise SecurityError(f"rendering took over {RENDER_SECONDS:g} s")


def _made_chars(name: str, subject: Any, args: Sequence[Any]) -> int:
    """Return at least how long a text gets by a method or filter; 0 for one that makes none."""
    if name == "join":
        first = args[0] if args else ""
        return max(_joined_chars(first, subject), _joined_chars(subject, first))
    if not isinstance(subject, str):
        return 0
    if name == "replace" and len(args) > 1:
        return len(subject) + subject.count(str(args[0])) * len(str(args[1]))
    if name in ("format", "format_map"):
        return _format_chars(subject, args)
    if name in _PADS:
        pads = [len(arg) if isinstance(arg, str) else arg for arg in args]
        widest = max((pad for pad in pads if isinstance(pad, int)), default=0)
        return len(subject) + (1 + subject.count("\n") + subject.count("\t")) * widest
    return 0


def _format_chars(subject: str, args: Sequence[Any]) -> int:
    """Return how long ``str.format`` makes a text at most; of a malformed one, which fails, 0."""
    try:
        fields = [spec for _, name, spec, _ in Formatter().parse(subject) if name is not None]
    except ValueError:
        return 0
    if any("{" in (spec or "") for spec in fields):
        raise SecurityError("chat templates may not take a width from elsewhere")
    widths = sum(int(number) for spec in fields for number in _NUMBERS.findall(spec or ""))
    return len(subject) + widths + len(fields) * _longest(args)


def _percent_chars(subject: str, args: Sequence[Any]) -> int:
    """Return how long ``%`` makes a text at most."""
    fields = _PERCENT_FIELD.findall(subject)
    if any("*" in field for field in fields):
        raise SecurityError("chat templates may not take a width from elsewhere")
    widths = sum(int(number) for field in fields for number in field if number)
    return len(subject) + widths + len(fields) * _longest(args)


def _longest(values: Sequence[Any]) -> int:
    return max((len(str(value)) for value in values), default=0)


def _joined_chars(parts: Any, glue: Any) -> int:
    """Return how long ``parts`` get with ``glue`` between them; 0 where it is the other way."""
    if not isinstance(glue, str) or not isinstance(parts, str | list | tuple):
        return 0
    values = [it for part in parts for it in (part.values() if isinstance(part, dict) else [part])]
    return sum(len(it) for it in values if isinstance(it, str)) + len(parts) * len(glue)


def _is_of_jinja(arg: Any) -> bool:
    """Whether an argument of a filter is one that Jinja passes by itself."""
    return isinstance(arg, Context | Environment | nodes.EvalContext)


def _check_length(length: int) -> None:
    if length > RENDERED_CHARS:
        raise SecurityError(f"the prompt would exceed {RENDERED_CHARS} characters")


def _check_items(count: int) -> None:
    if count > _LIST_ITEMS:
        raise SecurityError("chat templates may not repeat that much")


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
