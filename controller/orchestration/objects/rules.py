"""Rules between fields, in CEL as CustomResourceDefinitions carry them: a real cluster is given the text,
here it is carried out. Pure.

Of CEL there is what our rules use: literals, fields, ``has``, operators, ``all`` and ``exists``, ``size``,
``matches``, and Kubernetes' quantities and durations. A rule in other words is a fault of the kind that has
it: :class:`BadRule`. Source: the CEL specification; apiserver's ``cel/library``.
"""

import ast
import operator
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, TypeAlias

from controller.orchestration.objects.schema import Schema, is_list, is_object
from overlayd.model.quantity import quantity, seconds

_Names: TypeAlias = dict[str, Any]
_Meaning: TypeAlias = Callable[[_Names], Any]

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<text>r?'(?:[^'\\]|\\.)*')|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<sign>&&|\|\||[=!<>]=|[-<>!.,()\[\]?:+]))"
)
_RELATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "in": lambda left, right: left in right,
}
_CONSTANTS = {"true": True, "false": False, "null": None, "int": int, "string": str}


class BadRule(ValueError):
    """A rule that is no CEL of which we know."""


@cache
def meaning(text: str) -> Callable[[Any], bool]:
    """Return a rule as a function of ``self``; what cannot be told does not hold. Raises :class:`BadRule`."""
    parser = _Parser(text)
    made = parser.choice()
    parser.expect("")

    def holds(value: Any) -> bool:
        try:
            return bool(made({"self": value}))
        except (ArithmeticError, LookupError, TypeError, ValueError):
            return False

    return holds


def broken(schema: Schema, value: Any, path: str = "") -> Iterator[tuple[Schema, Any, str, str]]:
    """Yield what does not hold: the schema and value that a rule is of, the field to blame, the message.

    The value has the shape of its schema; what is null is not looked at.
    """
    if value is None:
        return
    for rule in schema.rules:
        if not meaning(rule.text)(value):
            yield schema, value, path + rule.at, rule.message
    if is_object(value):
        for key in sorted(value):
            if (declared := schema.properties.get(key)) is not None:
                yield from broken(declared, value[key], f"{path}.{key}" if path else key)
            elif schema.values is not None:
                yield from broken(schema.values, value[key], f"{path}[{key}]")
    elif is_list(value) and schema.items is not None:
        for place, item in enumerate(value):
            yield from broken(schema.items, item, f"{path}[{place}]")


def has_rules(schema: Schema) -> bool:
    """Tell whether there is a rule anywhere in a schema."""
    below = [*schema.properties.values(), *filter(None, (schema.items, schema.values))]
    return bool(schema.rules) or any(has_rules(one) for one in below)


@cache
def pattern(text: str) -> re.Pattern[str]:
    """Return a regular expression as Go takes it: a last ``$`` is the end, not before a last newline."""
    ends = text.endswith("$") and not text.endswith(r"\$")
    return re.compile(text[:-1] + r"\Z" if ends else text, re.ASCII)


class _Select:
    """A field of a value; ``has`` asks whether it is there."""

    def __init__(self, of: _Meaning, name: str) -> None:
        self._of, self._name = of, name

    def __call__(self, names: _Names) -> Any:
        return self._of(names)[self._name]

    def there(self, names: _Names) -> bool:
        return self._name in self._of(names)


class _Parser:
    """By descent: a method for each binding, from the loosest on."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._read(text))
        self._at = 0

    def _read(self, text: str) -> Iterator[tuple[str, str]]:
        place = 0
        while place < len(text.rstrip()):
            found = _TOKEN.match(text, place)
            if found is None or found.lastgroup is None:
                raise BadRule(f"{text}: nothing known at {text[place:]!r}")
            yield found.lastgroup, found[found.lastgroup]
            place = found.end()
        yield "end", ""

    def expect(self, sign: str) -> None:
        """Pass over a sign, or the end. Raises :class:`BadRule`."""
        found = self._tokens[self._at][1]
        if found != sign:
            raise BadRule(f"{self._text}: {found!r} where {sign or 'the end'!r} should be")
        self._at += 1

    def _take(self, *signs: str) -> str:
        kind, text = self._tokens[self._at]
        if kind in ("sign", "name") and text in signs:
            self._at += 1
            return text
        return ""

    def choice(self) -> _Meaning:
        """Read an expression."""
        asked = self._either()
        if not self._take("?"):
            return asked
        then = self._either()
        self.expect(":")
        other = self.choice()
        return lambda names: then(names) if asked(names) else other(names)

    def _either(self) -> _Meaning:
        left = self._both()
        while self._take("||"):
            left = _or(left, self._both())
        return left

    def _both(self) -> _Meaning:
        left = self._relation()
        while self._take("&&"):
            left = _and(left, self._relation())
        return left

    def _relation(self) -> _Meaning:
        left = self._sum()
        if sign := self._take(*_RELATIONS):
            return _two(_RELATIONS[sign], left, self._sum())
        return left

    def _sum(self) -> _Meaning:
        left = self._turned()
        while sign := self._take("+", "-"):
            left = _two(operator.add if sign == "+" else operator.sub, left, self._turned())
        return left

    def _turned(self) -> _Meaning:
        if self._take("!"):
            of = self._turned()
            return lambda names: not of(names)
        return self._member()

    def _member(self) -> _Meaning:
        here = self._first()
        while True:
            if self._take("."):
                name = self._name()
                here = self._method(here, name) if self._take("(") else _Select(here, name)
            elif self._take("["):
                place = self.choice()
                self.expect("]")
                here = _two(operator.getitem, here, place)
            else:
                return here

    def _first(self) -> _Meaning:
        kind, text = self._tokens[self._at]
        self._at += 1
        match kind:
            case "number" | "text":
                literal = ast.literal_eval(text)
                return lambda _: literal
            case "name" if self._take("("):
                return self._call(text)
            case "name" if text in _CONSTANTS:
                constant = _CONSTANTS[text]
                return lambda _: constant
            case "name":
                return lambda names: names[text]
            case "sign" if text == "(":
                inside = self.choice()
                self.expect(")")
                return inside
            case _:
                raise BadRule(f"{self._text}: {text!r} begins nothing")

    def _call(self, name: str) -> _Meaning:
        of = self.choice()
        self.expect(")")
        if name == "has" and isinstance(of, _Select):
            return of.there
        if (function := _FUNCTIONS.get(name)) is None:
            raise BadRule(f"{self._text}: there is no function {name}")
        return lambda names: function(of(names))

    def _method(self, of: _Meaning, name: str) -> _Meaning:
        if name in ("all", "exists"):
            bound = self._name()
            self.expect(",")
            inside = self.choice()
            self.expect(")")
            among = all if name == "all" else any
            return lambda names: among(inside({**names, bound: item}) for item in of(names))
        if (method := _METHODS.get(name)) is None:
            raise BadRule(f"{self._text}: there is no method {name}")
        other = self.choice()
        self.expect(")")
        return _two(method, of, other)

    def _name(self) -> str:
        kind, text = self._tokens[self._at]
        if kind != "name":
            raise BadRule(f"{self._text}: {text!r} is no name")
        self._at += 1
        return text


def _or(left: _Meaning, right: _Meaning) -> _Meaning:
    return lambda names: left(names) or right(names)


def _and(left: _Meaning, right: _Meaning) -> _Meaning:
    return lambda names: left(names) and right(names)


def _two(function: Callable[[Any, Any], Any], left: _Meaning, right: _Meaning) -> _Meaning:
    return lambda names: function(left(names), right(names))


def _is_quantity(value: Any) -> bool:
    try:
        quantity(value)
    except ValueError:
        return False
    return True


_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "size": len,
    "string": str,
    "type": type,
    "quantity": quantity,
    "isQuantity": _is_quantity,
    "duration": seconds,
}
_METHODS: dict[str, Callable[[Any, Any], Any]] = {
    "matches": lambda value, text: pattern(text).search(value) is not None,
    "startsWith": lambda value, text: value.startswith(text),
    "isLessThan": operator.lt,
    "isGreaterThan": operator.gt,
}
