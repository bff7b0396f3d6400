"""Names of paths that people can say: those of the configuration, or shares of a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tipsc.engine import Manifest, PathEntry
from tipsc.engine.manifest import NAMED
from tipsc.engine.original import OriginalModel


def with_names(
    manifest: Manifest,
    given: Sequence[str],
    original: OriginalModel | None,
    batches: Sequence[int],
) -> Manifest:
    """The manifest with a name for each path.

    Args:
        given: from fast to slow; those that are left over are not used.
        original: what a path's time is a share of; None: the slowest path.
        batches: of the engine; a path for another than the first is ``NAME-SIZE``.
    """
    ordered = [path for path in manifest.paths if path.batch == batches[0]]
    names = dict(zip((path.id for path in ordered), given, strict=False))
    shares = shares_of(ordered, original)
    names |= {name: text for name, text in shares.items() if name not in names}
    others = {f"{i}x{b}": f"{name}-{b}" for i, name in names.items() for b in batches[1:]}
    told = {NAMED + path_id: name for path_id, name in {**names, **others}.items()}
    return replace(manifest, provenance={**manifest.provenance, **told})


def shares_of(paths: Sequence[PathEntry], original: OriginalModel | None) -> Mapping[str, str]:
    """``0.52x`` for a path that takes 0.52 of the original's time; of its MACs without a time.

    With as many decimals as tell all of them apart, four at most; then they are numbered.
    """
    timed = all(path.latency for path in paths)
    whole: float = max(_cost(path, timed) for path in paths)
    if original is not None:
        whole = float(original.macs)
        if timed and original.latency is not None:
            whole = original.latency.p50_ms
    for decimals in (1, 2, 3, 4):
        texts = [f"{_cost(path, timed) / whole:.{decimals}f}x" for path in paths]
        if len(set(texts)) == len(texts) and all(float(text[:-1]) for text in texts):
            break
    else:
        texts = [f"{text}-{place}" for place, text in enumerate(texts, 1)]
    return dict(zip((path.id for path in paths), texts, strict=True))


def _cost(path: PathEntry, timed: bool) -> float:
    return path.latency.p50_ms if timed and path.latency else float(path.macs)
