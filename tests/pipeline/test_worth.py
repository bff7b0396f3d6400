"""Which paths are left out of an engine, and when noise would decide it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tipsc.pipeline.verdicts import LeftOut
from tipsc.pipeline.worth import (
    Worth,
    all_left_out,
    is_undecided,
    joined_samples,
    left_out,
    within_noise,
)
from tipsc.profile import Measurement, Samples

FAST, SLOW = Worth("fast", 0.80), Worth("slow", 0.79)
MS = {"fast": 1.0, "slow": 2.0, "best": 3.0}


def measured(**times_ms: tuple[float, ...]) -> Measurement:
    """Of paths whose rounds took so long each."""
    rounds = {name: [[round(ms * 1e6)] * 10 for ms in times] for name, times in times_ms.items()}
    return Samples(rounds, (), 1.0).summarise()


def test_a_slower_path_that_is_no_better_is_left_out() -> None:
    assert left_out([SLOW, FAST], MS) == (LeftOut("slow", "fast"),)
    assert left_out([Worth("slow", 0.8), FAST], MS) == (LeftOut("slow", "fast"),)
    assert left_out([Worth("slow", 0.81), FAST], MS) == ()


def test_of_equal_paths_the_first_by_id_ships() -> None:
    one, other = Worth("fast", 0.5), Worth("slow", 0.5)
    assert left_out([other, one], {"fast": 1.0, "slow": 1.0}) == (LeftOut("slow", "fast"),)


def test_what_took_the_place_of_a_path_and_goes_later_is_replaced_by_its_own_rival() -> None:
    before, more = (LeftOut("a", "b"), LeftOut("c", "d")), (LeftOut("b", "e"),)
    assert all_left_out(before, more) == (LeftOut("a", "e"), LeftOut("c", "d"), LeftOut("b", "e"))


worths = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4)), min_size=1, max_size=8)


@given(worths)
def test_what_ships_is_covered_by_nothing_faster_and_the_rest_is(
    drawn: list[tuple[int, int]],
) -> None:
    paths = [Worth(f"p{i}", merit) for i, (merit, _) in enumerate(drawn)]
    p50 = {f"p{i}": float(ms) for i, (_, ms) in enumerate(drawn)}
    gone = {path.id: path.for_path for path in left_out(paths, p50)}
    by_id = {path.id: path for path in paths}
    kept = [path for path in paths if path.id not in gone]
    assert kept
    for one in kept:
        assert not any(o is not one and o.covers(one) and p50[o.id] < p50[one.id] for o in kept)
    for name, rival in gone.items():
        assert rival not in gone
        assert by_id[rival].covers(by_id[name]) and p50[rival] <= p50[name]


def test_a_measurement_is_repeated_only_where_it_decides() -> None:
    # The halves of each differ by a tenth: what is closer than that may be chance.
    near = measured(fast=(1.0, 1.1), slow=(1.02, 1.12))
    far = measured(fast=(1.0, 1.1), slow=(2.0, 2.2))
    assert within_noise(1.0, 1.02, near) and not within_noise(1.0, 2.0, far)
    assert is_undecided([FAST, SLOW], near) and not is_undecided([FAST, SLOW], far)
    assert not is_undecided([FAST, Worth("slow", 0.9)], far)
    # The better one of two that are equally fast is the only one that ships, in either order.
    assert is_undecided([FAST, Worth("slow", 0.9)], near)


def test_two_measurements_are_one_with_the_rounds_of_both() -> None:
    first = Samples({"a": [[1], [2]]}, (0,), 1.5)
    both = joined_samples(first, Samples({"a": [[3]]}, (0,), 2.0))
    assert both.batches == {"a": [[1], [2], [3]]} and both.seconds == 3.5 and both.held == (0,)
