"""Names of paths that people can say, beside their ids."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tipsc.engine import Latency, Manifest, PathEntry
from tipsc.engine.original import ORIGINAL, OriginalModel, original_in
from tipsc.errors import EngineDamagedError
from tipsc.pipeline.names import shares_of, with_names
from tipsc.quality import Quality
from tipsc.signature import Signature, TensorSpec

IMAGE = TensorSpec("x", "float32", (1, 4), "NC")
ORIGINAL_MODEL = OriginalModel(Quality("accuracy", 0.9, "share"), 100, 10, 400, Latency(3, 4, 5), 9)


def entry(name: str, ms: float | None, macs: int = 100, batch: int = 1) -> PathEntry:
    latency = None if ms is None else Latency(ms, ms, ms)
    return PathEntry(name, {}, None, latency, macs, 1, 1, 0, batch)


def manifest(*paths: PathEntry) -> Manifest:
    return Manifest("m", "host", "onnxruntime", Signature.plain([IMAGE], [IMAGE]), paths, [])


def test_a_path_is_called_by_the_share_of_the_original_s_time_that_it_takes() -> None:
    paths = [entry("a", 1.0), entry("b", 2.0), entry("c", 4.4)]
    assert shares_of(paths, ORIGINAL_MODEL) == {"a": "0.2x", "b": "0.5x", "c": "1.1x"}
    # Without an original, the slowest path is the whole.
    assert shares_of(paths, None) == {"a": "0.2x", "b": "0.5x", "c": "1.0x"}


def test_names_have_the_decimals_that_tell_them_apart() -> None:
    near = [entry("a", 1.0), entry("b", 1.2), entry("c", 10.0)]
    assert shares_of(near, None) == {"a": "0.10x", "b": "0.12x", "c": "1.00x"}
    same = [entry("a", 4.0), entry("b", 4.0)]
    assert shares_of(same, None) == {"a": "1.0000x-1", "b": "1.0000x-2"}


def test_without_times_macs_are_compared() -> None:
    paths = [entry("a", None, 100), entry("b", None, 200)]
    assert shares_of(paths, replace(ORIGINAL_MODEL, macs=200)) == {"a": "0.5x", "b": "1.0x"}


def test_given_names_go_from_fast_to_slow_and_others_are_made() -> None:
    made = with_names(manifest(entry("slow", 4.0), entry("fast", 1.0)), ["quick"], None, (1,))
    assert made.names == {"fast": "quick", "slow": "1.0x"}
    assert made.id_of("quick") == "fast" and made.id_of("slow") == "slow"
    assert made.id_of("nothing") == "nothing"
    few = with_names(manifest(entry("only", 1.0)), ["small", "large"], None, (1,))
    assert few.names == {"only": "small"}


def test_a_path_for_a_larger_batch_has_the_name_with_its_size() -> None:
    both = manifest(entry("a", 1.0), entry("ax8", 6.0, batch=8))
    assert with_names(both, [], None, (1, 8)).names == {"a": "1.0x", "ax8": "1.0x-8"}


def test_the_original_is_read_back_from_the_provenance() -> None:
    plain = manifest(entry("a", 1.0))
    assert original_in(plain) is None
    told = replace(plain, provenance={ORIGINAL: ORIGINAL_MODEL.to_text()})
    assert original_in(told) == ORIGINAL_MODEL
    for text in ("no JSON", "{}", ORIGINAL_MODEL.to_text().replace("macs", "mac")):
        with pytest.raises(EngineDamagedError, match=r"provenance\.original"):
            original_in(replace(plain, provenance={ORIGINAL: text}))
