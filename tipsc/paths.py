"""Choice, SearchSpace and Path: which subnetworks there are, and how to name one.

A :class:`Choice` is one elastic decision with ordered options (small to large). Choices form a
forest: a choice may be *active* only while another one (its gate, usually a depth) has at least
some value. Inactive choices have no effect, so a path stores the smallest option there; equal
subnetworks therefore are equal paths, with equal ids.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from tipsc.errors import PathError, near
from tipsc.printable import cut

ID_DIGITS = 8


@dataclass(frozen=True)
class Choice:
    """One elastic decision.

    Args:
        name: unique in its space, for example ``stage1.block0.width``.
        options: at least one value, strictly increasing.
        gate: name of an earlier choice that switches this one on, or None.
        gate_from: this choice is active while the gate's value is at least this.
    """

    name: str
    options: tuple[int, ...]
    gate: str | None = None
    gate_from: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(int(option) for option in self.options))
        if not self.name or any(character in self.name for character in "=,; \t\n"):
            raise PathError(
                f"choice name {self.name!r} is not usable", fix="use letters, digits, . _ and -"
            )
        if not self.options:
            raise PathError(f"choice {self.name} has no options", fix="give at least one")
        if any(low >= high for low, high in zip(self.options, self.options[1:], strict=False)):
            raise PathError(
                f"options of choice {self.name} do not increase",
                got=list(self.options),
                fix="sort them, each once",
            )

    @property
    def smallest(self) -> int:
        return self.options[0]

    @property
    def largest(self) -> int:
        return self.options[-1]


@dataclass(frozen=True)
class Path:
    """One option for each choice: one subnetwork. Made by a :class:`SearchSpace`.

    Attributes:
        items: (choice name, option) in the space's order, canonical: inactive choices hold
            their smallest option.
    """

    items: tuple[tuple[str, int], ...]

    @cached_property
    def _by_name(self) -> dict[str, int]:
        return dict(self.items)

    def __getitem__(self, choice: str) -> int:
        try:
            return self._by_name[choice]
        except KeyError:
            raise PathError(
                f"path {self.id} has no choice {choice!r}", fix=near(choice, self._by_name)
            ) from None

    @property
    def options(self) -> Mapping[str, int]:
        """Choice name to option, read-only."""
        return MappingProxyType(self._by_name)

    @property
    def values(self) -> tuple[int, ...]:
        """The options alone, in the space's order."""
        return tuple(option for _, option in self.items)

    @cached_property
    def id(self) -> str:
        """Eight hexadecimal digits that depend on nothing but the choices and their options."""
        return hashlib.sha256(str(self).encode()).hexdigest()[:ID_DIGITS]

    def __str__(self) -> str:
        return ",".join(f"{name}={option}" for name, option in self.items)


@dataclass(frozen=True)
class SearchSpace:
    """The ordered choices of a supernet. A gate stands before the choices that it gates."""

    choices: tuple[Choice, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", tuple(self.choices))
        seen: dict[str, Choice] = {}
        for choice in self.choices:
            if choice.name in seen:
                raise PathError(f"two choices are called {choice.name}", fix="rename one")
            if choice.gate is not None:
                if choice.gate not in seen:
                    raise PathError(
                        f"choice {choice.name} is gated by {choice.gate!r}, which is not an "
                        "earlier choice",
                        fix=near(choice.gate, seen),
                    )
                if choice.gate_from > seen[choice.gate].largest:
                    raise PathError(
                        f"choice {choice.name} can never be active",
                        expected=f"gate_from <= {seen[choice.gate].largest}",
                        got=choice.gate_from,
                    )
            seen[choice.name] = choice

    @cached_property
    def _by_name(self) -> dict[str, Choice]:
        return {choice.name: choice for choice in self.choices}

    @cached_property
    def _children(self) -> dict[str | None, tuple[Choice, ...]]:
        children: dict[str | None, list[Choice]] = {}
        for choice in self.choices:
            children.setdefault(choice.gate, []).append(choice)
        return {gate: tuple(gated) for gate, gated in children.items()}

    def __getitem__(self, name: str) -> Choice:
        try:
            return self._by_name[name]
        except KeyError:
            raise PathError(
                f"the space has no choice {name!r}", fix=near(name, self._by_name)
            ) from None

    def __contains__(self, path: object) -> bool:
        if not isinstance(path, Path):
            return False
        try:
            return self.path(dict(path.items)) == path
        except PathError:
            return False

    @cached_property
    def _counts(self) -> dict[tuple[str, int], int]:
        """For (choice, option): how many distinct settings its gated choices then have."""
        counts: dict[tuple[str, int], int] = {}
        for choice in reversed(self.choices):  # gated choices come after their gate
            for option in choice.options:
                count = 1
                for child in self._children.get(choice.name, ()):
                    if option >= child.gate_from:
                        count *= sum(counts[child.name, o] for o in child.options)
                counts[choice.name, option] = count
        return counts

    @cached_property
    def size(self) -> int:
        """How many distinct paths there are, exactly."""
        size = 1
        for root in self._children.get(None, ()):
            size *= sum(self._counts[root.name, option] for option in root.options)
        return size

    def is_active(self, choice: str, options: Mapping[str, int]) -> bool:
        """Whether `choice` has an effect when the choices have these options."""
        current = self[choice]
        while current.gate is not None:
            if options[current.gate] < current.gate_from:
                return False
            current = self[current.gate]
        return True

    def path(self, options: Mapping[str, int]) -> Path:
        """The path with these options; what is missing or inactive gets its smallest option.

        Raises:
            PathError: a name or an option that the space does not have.
        """
        for name, option in options.items():
            if option not in self[name].options:
                raise PathError(
                    f"choice {name} has no option {option}",
                    expected=f"one of {list(self[name].options)}",
                )
        full = {c.name: int(options.get(c.name, c.smallest)) for c in self.choices}
        return Path(
            tuple(
                (c.name, full[c.name] if self.is_active(c.name, full) else c.smallest)
                for c in self.choices
            )
        )

    @cached_property
    def smallest(self) -> Path:
        return self.path({choice.name: choice.smallest for choice in self.choices})

    @cached_property
    def largest(self) -> Path:
        return self.path({choice.name: choice.largest for choice in self.choices})

    def smallest_with(self, options: Mapping[str, int]) -> Path:
        """The smallest path with these options: gates that they need open as little as possible.

        Raises:
            PathError: a name or an option that the space does not have.
        """
        full = dict(options)
        for name in options:
            choice = self[name]
            while choice.gate is not None:
                gate = self[choice.gate]
                full.setdefault(gate.name, min(o for o in gate.options if o >= choice.gate_from))
                choice = gate
        return self.path(full)

    def path_at(self, index: int) -> Path:
        """The path with this number: a bijection from range(size) to the distinct paths."""
        if not 0 <= index < self.size:
            raise PathError(f"no path has number {index}", expected=f"0 <= number < {self.size}")
        options: dict[str, int] = {}

        def settle(choices: tuple[Choice, ...], index: int) -> None:
            for choice in choices:
                total = sum(self._counts[choice.name, option] for option in choice.options)
                index, rest = divmod(index, total)
                for option in choice.options:
                    count = self._counts[choice.name, option]
                    if rest < count:
                        break
                    rest -= count
                options[choice.name] = option
                children = self._children.get(choice.name, ())
                settle(tuple(c for c in children if option >= c.gate_from), rest)

        settle(self._children.get(None, ()), index)
        return self.path(options)

    def sample(self, generator: random.Random) -> Path:
        """A path drawn uniformly from all distinct paths."""
        return self.path_at(generator.randrange(self.size))

    def sample_options(self, generator: random.Random) -> Path:
        """A path whose every choice is drawn uniformly from its options.

        This is what the literature on supernets calls uniform sampling. It differs from
        :meth:`sample` where depth is elastic: there are more deep paths than shallow ones.
        """
        return self.path({c.name: generator.choice(c.options) for c in self.choices})

    def enumerate(self, limit: int = 1_000_000) -> Iterator[Path]:
        """All distinct paths, each once.

        Raises:
            PathError: there are more than `limit`.
        """
        if self.size > limit:
            raise PathError(
                f"the space has {self.size:,} paths, too many to enumerate",
                expected=f"at most {limit:,}",
                fix="sample it, or raise limit",
            )
        return (self.path_at(index) for index in range(self.size))

    def parse(self, text: str) -> Path:
        """The path that ``str(path)`` printed, or ``smallest`` or ``largest``."""
        if text in ("smallest", "largest"):
            return self.smallest if text == "smallest" else self.largest
        options: dict[str, int] = {}
        for item in filter(None, (part.strip() for part in text.split(","))):
            name, _, value = item.partition("=")
            try:
                options[name] = int(value)
            except ValueError:
                raise PathError(
                    f"cannot read {item!r} in a path", expected="choice=option,choice=option,..."
                ) from None
        return self.path(options)

    def to_json(self) -> list[dict[str, object]]:
        return [
            {"name": c.name, "options": list(c.options), "gate": c.gate, "gate_from": c.gate_from}
            for c in self.choices
        ]

    @classmethod
    def from_json(cls, items: object) -> SearchSpace:
        """The inverse of :meth:`to_json`; raises PathError on anything else."""
        if not isinstance(items, list):
            raise _no_space(items)
        try:
            return cls(tuple(_choice(item) for item in items))
        except (TypeError, KeyError, ValueError) as error:
            raise _no_space(items) from error


def _choice(item: dict[str, Any]) -> Choice:
    """From JSON; raises TypeError for keys and types that :meth:`SearchSpace.to_json` gives not."""
    name, options, gate, gate_from = (item[key] for key in ("name", "options", "gate", "gate_from"))
    if len(item) != 4 or not isinstance(options, list):
        raise TypeError("other keys, or options that are no list")
    if not isinstance(name, str) or not isinstance(gate, str | None):
        raise TypeError("no name")
    if type(gate_from) is not int or any(type(option) is not int for option in options):
        raise TypeError("no integer")
    return Choice(name, tuple(options), gate, gate_from)


def _no_space(items: object) -> PathError:
    return PathError("this is not a search space", got=cut(repr(items), 80))
