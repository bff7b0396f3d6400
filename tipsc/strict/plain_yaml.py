"""YAML with text, numbers, lists and mappings alone, in bounded time whatever the text is.

An alias counts as what it stands for, so that nine lines cannot mean a billion values, and nothing
may hold itself. Numbers are decimal: YAML 1.1 would read ``010`` as 8 and ``1:30`` as
90, and would not read ``1e-3`` as a number. A date is text.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

MAX_VALUES = 20_000
MAX_DEPTH = 32
_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?(0|[1-9](_?[0-9])*)")
_FLOAT = re.compile(r"[-+]?([0-9](_?[0-9])*\.?|\.[0-9])(_?[0-9])*(e[-+]?[0-9]+)?", re.IGNORECASE)
_NO_NUMBER = re.compile(r"([-+]?)\.(inf|nan)", re.IGNORECASE)
_EXPONENT = re.compile(r"^[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+$")
_LARGEST = 2**63 - 1
_DIGITS = 32  # more are not converted, which takes time that grows with their square


class NotPlain(yaml.MarkedYAMLError):
    """YAML that is not allowed.

    Attributes:
        problem: what is wrong, a clause.
        problem_mark: where.
        fix: what to do about it.
    """

    def __init__(self, problem: str, mark: yaml.Mark, fix: str) -> None:
        super().__init__(problem=problem, problem_mark=mark)
        self.fix = fix


def load(text: bytes) -> Any:
    """The value in a YAML document.

    Args:
        text: of bounded size; UTF-8, or UTF-16 with a byte order mark.

    Raises:
        yaml.YAMLError: it is not YAML, or not of this kind (:class:`NotPlain`).
        UnicodeDecodeError: it is no text.
    """
    return yaml.load(text, Loader=_PlainLoader)


class _PlainLoader(yaml.SafeLoader):
    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._values = 0
        self._depth = 0
        self._sizes: dict[int, int] = {}  # of composed nodes, aliases written out

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        mark = self.peek_event().start_mark
        if self.check_event(yaml.AliasEvent):
            node = super().compose_node(parent, index)
            if id(node) not in self._sizes:
                raise NotPlain("an alias (*) of what it stands in", mark, "write the values out")
            self._count(self._sizes[id(node)], mark)
            return node
        before = self._values
        self._count(1, mark)
        if self._depth >= MAX_DEPTH:
            raise NotPlain(
                f"values are nested more than {MAX_DEPTH} deep", mark, "write them flatter"
            )
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        self._sizes[id(node)] = self._values - before
        return node

    def _count(self, values: int, mark: yaml.Mark) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            raise NotPlain(
                f"these are more than {MAX_VALUES} values, aliases (*) written out",
                mark,
                "leave some out",
            )

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            mark = key_node.start_mark
            if key_node.tag == f"{_TAG}merge":
                raise NotPlain("a merge of mappings (<<)", mark, "write the keys out")
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):  # where such keys are kept, as JSON, 1 and "1" are one
                raise NotPlain("a key that is no text", mark, "write the key in quotes")
            if key in found:
                raise NotPlain(f"key {key!r} stands twice", mark, "leave one of both out")
            found[key] = self.construct_object(value_node, deep=deep)
        return found

    def construct_integer(self, node: yaml.ScalarNode) -> int:
        text = str(self.construct_scalar(node))
        if not _INTEGER.fullmatch(text):
            raise _not_decimal(node)
        if len(text) > _DIGITS or abs(number := int(text)) > _LARGEST:
            raise NotPlain(
                "a whole number of more than 64 bits", node.start_mark, "use a smaller one"
            )
        return number

    def construct_float(self, node: yaml.ScalarNode) -> float:
        text = str(self.construct_scalar(node))
        if special := _NO_NUMBER.fullmatch(text):
            return float(special[1] + special[2])
        if not _FLOAT.fullmatch(text):
            raise _not_decimal(node)
        return float(text)


def _not_decimal(node: yaml.ScalarNode) -> NotPlain:
    return NotPlain(
        "a number that is not in plain decimal digits",
        node.start_mark,
        "write it as 8, -0.5 or 1e-3, without zeros before it; text goes in quotes",
    )


_PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, sign) for tag, sign in rules if tag not in (f"{_TAG}timestamp", f"{_TAG}value")]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_PlainLoader.add_implicit_resolver(f"{_TAG}float", _EXPONENT, list("-+0123456789"))
_PLAIN: dict[Any, Any] = {
    f"{_TAG}{name}": yaml.SafeLoader.yaml_constructors[f"{_TAG}{name}"]
    for name in ("null", "bool", "str", "seq", "map")
} | {
    f"{_TAG}int": _PlainLoader.construct_integer,
    f"{_TAG}float": _PlainLoader.construct_float,
    None: yaml.SafeLoader.yaml_constructors[None],  # refuses what has a tag
}
_PlainLoader.yaml_constructors = _PLAIN
