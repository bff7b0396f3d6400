"""Trees and signatures of any kind, for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from tipsc.signature import DTYPES, LETTERS, OTHER, Signature, TensorSpec
from tipsc.tree import TENSOR, Tree

NAMES = st.text("ab.0é ", min_size=1, max_size=6)
FIELDS = st.text("abXY_", min_size=1, max_size=5)


@st.composite
def trees(draw: st.DrawFn, deepest: int = 3) -> Tree:
    kinds = ["tensor", "none", "tuple", "list", "dict", "record"]
    kind = draw(st.sampled_from(kinds if deepest else kinds[:2]))
    if kind in ("tensor", "none"):
        return Tree(kind)  # type: ignore[arg-type]
    parts = tuple(draw(st.lists(trees(deepest - 1), max_size=3)))
    named = {"dict": NAMES, "record": FIELDS}.get(kind, st.nothing())
    count = len(parts) if kind in ("dict", "record") else 0
    keys = draw(st.lists(named, min_size=count, max_size=count, unique=True))
    return Tree(kind, tuple(keys), parts)  # type: ignore[arg-type]


@st.composite
def specs(draw: st.DrawFn, name: str | None = None) -> TensorSpec:
    shape = tuple(draw(st.lists(st.integers(1, 64), max_size=5)))
    letters = draw(st.permutations(LETTERS))
    known = draw(st.lists(st.booleans(), min_size=len(shape), max_size=len(shape)))
    layout = "".join(
        letter if is_known else OTHER for letter, is_known in zip(letters, known, strict=False)
    )
    return TensorSpec(name or draw(NAMES), draw(st.sampled_from(DTYPES)), shape, layout)


@st.composite
def signatures(draw: st.DrawFn) -> Signature:
    def side() -> tuple[Tree, tuple[TensorSpec, ...]]:
        tree = draw(trees(2))
        tree = tree if tree.tensors else TENSOR
        return tree, tuple(draw(specs(name)) for name in tree.names("it"))

    (takes, inputs), (gives, outputs) = side(), side()
    return Signature(inputs, outputs, takes, gives)
