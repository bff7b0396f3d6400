"""Finds which units of which axes belong together: union-find over parts of axes.

An axis is a row of *terms*, one after the other (a concatenation); a term is a nest of *groups*,
outermost first (channels, or heads of 16 channels). Two axes that an operation pairs element by
element are unified. Where their borders differ a group is refined: into a sum (the halves of a
split) or a product (heads and what is in a head). What cannot be refined so is fixed with a reason,
so that an axis that was not understood can only stay as it is.

A sum inside a nest (parts of each head) stays *closed*, one group, while a group around it is free:
whether heads can be cut is known only when all operations have been seen, in whatever order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from tipsc.convert.units import axis_size, term_size

MOST_COPIES = 64


class Group:
    """Units that are kept or cut together, wherever they occur.

    Attributes:
        size: how many units.
        fixed: why all units must stay, or None.
    """

    def __init__(self, size: int, fixed: str | None = None) -> None:
        self.size = size
        self.fixed = fixed
        self._link: Group | None = None
        self._sum: tuple[Group, ...] = ()
        self._product: tuple[Group, ...] = ()

    @property
    def root(self) -> Group:
        """The group that this one was unified with."""
        group = self
        while group._link is not None:
            group = group._link
        return group

    @property
    def is_refined(self) -> bool:
        """Whether it consists of other groups that need not all stay."""
        return self.fixed is None and bool(self._sum or self._product)

    def fix(self, reason: str) -> None:
        """From now on all units stay."""
        root = self.root
        if root.fixed is None:
            root.fixed = reason
            for part in (*root._sum, *root._product):
                part.fix(reason)


Term: TypeAlias = tuple[Group, ...]
Axis: TypeAlias = tuple[Term, ...]

_NO_BORDER = "its borders are no borders of whole units"


def new_axis(size: int, fixed: str | None = None) -> Axis:
    """An axis of one group of its own."""
    return ((Group(size, fixed),),) if size != 1 else ((),)


def fix(axis: Axis, reason: str) -> None:
    """All units of an axis stay."""
    for term in axis:
        for group in term:
            group.fix(reason)


def fix_all(axes: Iterable[Axis], reason: str) -> None:
    """All units of all axes stay."""
    for axis in axes:
        fix(axis, reason)


def settled(axis: Axis) -> Axis:
    """The axis in terms of groups that have not been refined, or are closed."""
    return tuple(term for old in axis for term in _settled_term(old))


def _settled_term(term: Term) -> list[Term]:
    terms: list[Term] = [()]
    for group in term:
        inner = _expanded(group)
        if len(inner) == 1:
            terms = [t + inner[0] for t in terms]
        elif terms == [()]:
            terms = list(inner)
        elif any(g.fixed is None for outer in terms for g in outer):
            # Closed: if whole heads can be cut, they are worth more than a part of each.
            terms = [(*t, group.root) for t in terms]
        else:  # as many copies of the sum as there are outer units
            copies = sum(map(term_size, terms))
            if copies * len(inner) > MOST_COPIES:
                group.fix("a concatenation is repeated many times")
                terms = [(*t, group.root) for t in terms]
            else:
                terms = list(inner) * copies
    return terms


def _expanded(group: Group) -> Axis:
    root = group.root
    if root.size == 1:
        return ((),)
    if root.fixed is None and root._sum:
        return settled(tuple((part,) for part in root._sum))
    if root.fixed is None and root._product:
        return tuple(_settled_term(root._product))
    return ((root,),)


def unify(first: Axis, second: Axis) -> None:
    """Both axes are the same, unit by unit.

    Raises:
        ValueError: they differ in size.
    """
    if axis_size(first) != axis_size(second):
        raise ValueError(f"axes of {axis_size(first)} and {axis_size(second)} cannot be one")
    left, right = list(settled(first)), list(settled(second))
    while left and right:
        a, b = left[0], right[0]
        if term_size(a) == term_size(b):
            _unify_terms(a, b)
            left, right = left[1:], right[1:]
        elif term_size(a) > term_size(b):
            left = _split_first(left, term_size(b))
        else:
            right = _split_first(right, term_size(a))
        if not left or not right:
            break
        if left[0] is None or right[0] is None:
            fix(first, _NO_BORDER)
            fix(second, _NO_BORDER)
            return
        left, right = list(settled(tuple(left))), list(settled(tuple(right)))


def _split_first(terms: list[Term], size: int) -> list[Term]:
    """Cuts the first term in two, the first part of this size; [None] if it has no border there."""
    outer, *rest = terms[0]
    inner = term_size(tuple(rest))
    if size % inner:
        closed = next((g for g in rest if g.is_refined), None)
        if closed is None:
            return [None]  # type: ignore[list-item]
        for group in terms[0][: terms[0].index(closed)]:  # so that it opens
            group.fix(_NO_BORDER)
        return terms
    a, b = _refined_sum(outer, size // inner)
    return [(a, *rest), (b, *rest), *terms[1:]]


def _refined_sum(group: Group, first: int) -> tuple[Group, Group]:
    parts = Group(first, group.fixed), Group(group.size - first, group.fixed)
    if group.fixed is None:
        group._sum = parts
    return parts


def _refined_product(group: Group, inner: int) -> tuple[Group, Group]:
    if group.is_refined:  # closed
        group.fix(_NO_BORDER)
    parts = Group(group.size // inner, group.fixed), Group(inner, group.fixed)
    if group.fixed is None:
        group._product = parts
    return parts


def _unify_terms(first: Term, second: Term) -> None:
    left, right = list(first), list(second)
    while left or right:
        flat_left, flat_right = _flat(left), _flat(right)
        if flat_left is None or flat_right is None:
            break
        left, right = flat_left, flat_right
        if not left or not right:
            break
        a, b = left[-1], right[-1]
        if a.size == b.size:
            _unify_groups(a, b)
            left, right = left[:-1], right[:-1]
        elif a.size > b.size and a.size % b.size == 0:
            left[-1:] = _refined_product(a, b.size)
        elif b.size > a.size and b.size % a.size == 0:
            right[-1:] = _refined_product(b, a.size)
        else:
            break
    for group in (*left, *right):
        group.fix(_NO_BORDER)


def _flat(groups: list[Group]) -> list[Group] | None:
    """Products in place of the groups that became one; None if one became a sum."""
    terms = _settled_term(tuple(groups))
    return list(terms[0]) if len(terms) == 1 else None


def _unify_groups(a: Group, b: Group) -> None:
    a, b = a.root, b.root
    if a is b:
        return
    reason = a.fixed or b.fixed
    if reason:
        a.fix(reason)
        b.fix(reason)
    elif a.is_refined and b.is_refined:
        unify(((a,),), ((b,),))
    if b.is_refined:
        a, b = b, a
    b._link = a


def reshape(axes: Sequence[Axis], sizes: Sequence[int]) -> list[Axis]:
    """The axes of a tensor after a reshape to `sizes`, in row-major order."""
    result: list[Axis] = []
    inputs, outputs = list(axes), list(sizes)
    while inputs or outputs:
        if inputs and axis_size(inputs[0]) == 1:
            inputs.pop(0)
            continue
        if outputs and outputs[0] == 1:
            outputs.pop(0)
            result.append(((),))
            continue
        taken, given = [inputs.pop(0)], [outputs.pop(0)]
        while (a := math.prod(map(axis_size, taken))) != (b := math.prod(given)):
            if a < b:
                taken.append(inputs.pop(0))
            else:
                given.append(outputs.pop(0))
        result += _regroup(taken, given)
    return result


def _regroup(taken: list[Axis], given: list[int]) -> list[Axis]:
    if len(given) == 1 == len(taken):
        return taken
    merged = _merged(taken)
    if len(given) == 1:
        return [merged]
    inner = math.prod(given[1:])
    terms = settled(merged)
    if len(terms) == given[0] and all(term_size(t) == inner for t in terms):
        for term in terms[1:]:  # pieces side by side become an axis of pieces
            unify((terms[0],), (term,))
        return [new_axis(given[0], "pieces of a split"), *_regroup([(terms[0],)], given[1:])]
    parts = [Group(size) for size in given]
    unify(merged, (tuple(parts),))
    return [((part,),) if part.size != 1 else ((),) for part in parts]


def _merged(axes: Iterable[Axis]) -> Axis:
    """Several axes as one, the first outermost."""
    merged: Axis = ((),)
    for axis in axes:
        axis = settled(axis)
        if len(axis) > 1 and merged != ((),):
            axis = ((_sum_of(axis),),)
        merged = tuple(a + b for a in merged for b in axis)
    return merged


def _sum_of(axis: Axis) -> Group:
    """One group, the sum of the terms of an axis."""
    parts = []
    for term in axis:
        part = term[0] if len(term) == 1 else Group(term_size(term))
        if len(term) > 1:
            part._product = term
        parts.append(part)
    whole = Group(axis_size(axis))
    whole._sum = tuple(parts)
    return whole
