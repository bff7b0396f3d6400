"""The decision page: every text in each language, every figure from the facts, honest verdicts."""

from __future__ import annotations

import json
import re
import string
from dataclasses import replace
from pathlib import Path

import pytest

from tipsc.engine import Latency, PathEntry
from tipsc.engine.original import OriginalModel
from tipsc.measure.disturbance import AGAIN
from tipsc.pipeline.holding import Holding
from tipsc.pipeline.separate import AlonePath, Separate
from tipsc.pipeline.verdicts import GoalAnswer
from tipsc.project.config import BuildGoal
from tipsc.quality import Quality
from tipsc.report.decision import EngineFacts, decision, to_html, to_markdown
from tipsc.report.decision import facts as facts_module
from tipsc.report.decision import page as page_module
from tipsc.report.decision.render import Bullets, Commands, Grid, Heading, Paragraph
from tipsc.report.decision.texts import LANGUAGES, TEXTS, Texts


def entry(name: str, accuracy: float, ms: float) -> PathEntry:
    quality = Quality("accuracy", accuracy, "share")
    return PathEntry(name, {}, quality, Latency(ms, ms, ms), 100, 10, 30_000, 10_000)


SEPARATE = Separate(
    (AlonePath("aa", 60_000, 1.0, 1.01), AlonePath("bb", 90_000, 2.0, 2.02)),
    0.01,
    "",
    Holding(1.0, 2.0),
    Holding(3.0, 5.0),
)
FACTS = EngineFacts(
    Path("m-host.tipsc"), "m", "host", 100_000,
    OriginalModel(Quality("accuracy", 0.9, "share"), 500, 20, 200, Latency(4, 4, 4), 120_000),
    (entry("aa", 0.85, 1.0), entry("bb", 0.895, 2.0)),
    {"aa": "0.2x", "bb": "0.5x"}, SEPARATE, "",
    {"train": 1.0, "narrow": 9.0, "engine": 70.0}, "",
)  # fmt: skip


def text_of(facts: EngineFacts, language: str = "en", devices: int = 1000) -> str:
    return to_markdown(decision([facts], Texts(language), devices), "")


@pytest.mark.parametrize("key", TEXTS)
def test_a_text_has_the_same_figures_in_each_language(key: str) -> None:
    assert len(TEXTS[key]) == len(LANGUAGES) and all(TEXTS[key])
    fields = [
        {name for _, name, _, _ in string.Formatter().parse(text) if name} for text in TEXTS[key]
    ]
    assert fields[0] == fields[1]


def test_every_text_is_used_and_every_sentence_is_a_text() -> None:
    source = (
        "".join(
            Path(page_module.__file__).with_name(name).read_text()
            for name in ("page.py", "goals.py")
        )
        + Path("tipsc/cli/report.py").read_text()
    )
    assert {key for key in TEXTS if f'"{key}"' not in source} == set()
    japanese = text_of(FACTS, "ja")
    words = set(re.findall(r"[a-z]{4,}", japanese)) - set(re.findall(r"[a-z]{4,}", COMMANDS))
    # what is left are names of things that are the same in both
    assert words <= {"accuracy", "host", "torch", "share", "loss", "build"}


COMMANDS = """tipsc bench device selftest inspect report engine format json input budget output
delta apply sustained run config recorded answer change old ssh url all new file trace calls jsonl
html python import numpy from runtime with open governor call Governor Engine
fallback fastest example load"""


def test_figures_are_those_of_the_facts() -> None:
    text = text_of(FACTS)
    assert "| 0.2x (aa) | 85.00 | -5.00 | 1.00 | 75% | 60.0 kB |" in text
    assert "| original | 90.00 |  | 4.00 |  | 120 kB |" in text
    assert "| storage on a device | 100 kB | 150 kB |" in text
    assert "| memory in all | 2.10 MB | 5.24 MB |" in text
    assert "| training | 10.0 s | not measured |" in text
    together = text_of(replace(FACTS, trained_for=3))
    assert "| training, once for 3 targets | 10.0 s | not measured |" in together
    assert "1 min 10 s" in text
    assert "100 MB to 1,000 devices" in text and "50.0 MB less" in text


def test_the_energy_of_a_call_is_shown_where_it_was_measured() -> None:
    assert "| energy of a call | not measured | not measured |" in text_of(FACTS)
    one, two = FACTS.paths
    measured = (replace(one, energy_mj=2.0), replace(two, energy_mj=4.5))
    for paths, says in ((measured, "2.00 - 4.50 mJ"), ((one, measured[1]), "4.50 mJ")):
        text = text_of(replace(FACTS, paths=paths))
        assert f"| energy of a call | {says} | not measured |" in text
        assert "Energy of separate models: they were not run" in text


def test_what_pays_and_at_which_price_is_said() -> None:
    text = text_of(FACTS)
    assert "Pays: speed: 0.5x takes 50% of the original's time, losing 0.50 points" in text
    assert "At a price: speed: 0.2x takes 25% of the original's time, losing 5.00 points" in text
    assert "Pays: storage" in text and "Pays: memory" in text
    # One percent is within the noise of one percent.
    assert "No difference: time of a call" in text
    assert "Does not pay: where one speed is enough: 0.5x alone is a file of 90.0 kB" in text


GOALS = (
    (BuildGoal(lose_at_most=0.06), GoalAnswer("", True, "aa", "", (), "bb")),
    (BuildGoal(latency_share=0.2, latency_ms=3, file_bytes=5000), GoalAnswer("", False, "aa", "")),
    (BuildGoal(lose_at_most=0.01), GoalAnswer("", None, "bb", "")),
)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_verdicts_begin_with_the_goals(language: str) -> None:
    texts = Texts(language)
    blocks = decision([replace(FACTS, goals=GOALS)], texts, 1000)
    points = next(block for block in blocks if isinstance(block, Bullets)).items
    for point, key in zip(points, ("goal_met", "goal_missed", "goal_open"), strict=False):
        assert point.startswith(texts(key, goal="|", path="", found="").split("|")[0])
    assert "0.2x" in points[0] and "0.5x" in points[0]
    assert all(figure in points[1] for figure in ("20%", "3 ms", "5.00 kB", "25%", "40.0 kB"))


def test_a_page_without_the_builds_goals_says_so() -> None:
    assert "- Goals: not known; the engine does not carry them" in text_of(FACTS)
    assert "Goal" not in text_of(replace(FACTS, goals=()))


def test_goals_are_those_of_the_build_that_made_this_very_file(tmp_path: Path) -> None:
    engine, stage = tmp_path / "m.tipsc", tmp_path / "runs/m/engine-0"
    stage.mkdir(parents=True)
    engine.write_bytes(b"same")
    (stage / "engine.tipsc").write_bytes(b"same")
    goals = [{"lose_at_most": 0.01, "latency_share": None}, {"latency_ms": 5}]
    (stage / "stage.json").write_text(json.dumps({"inputs": {"goals": goals}}))
    found = facts_module._goals(engine, FACTS.paths, FACTS.original)
    assert found is not None
    assert [(answer.met, answer.path) for _, answer in found] == [(True, "bb"), (True, "bb")]
    # Without an original there is nothing that the first could be relative to.
    assert len(facts_module._goals(engine, FACTS.paths, None) or ()) == 1
    engine.write_bytes(b"other")
    assert facts_module._goals(engine, FACTS.paths, FACTS.original) is None


def test_a_path_slower_than_the_original_is_remarked_on() -> None:
    late = replace(FACTS.original, latency=Latency(1.6, 1.6, 1.6))  # type: ignore[type-var]
    text = text_of(replace(FACTS, original=late))
    assert "Does not pay: speed: 0.5x is slower than the original, at 125% of its time" in text
    assert "0.2x is slower" not in text and "is slower" not in text_of(FACTS)


def test_a_doubtful_measurement_gives_the_whole_command() -> None:
    text = text_of(replace(FACTS, noise=f"other work took 52% of the core; {AGAIN}"))
    assert "52% of the core; run `tipsc build . --wait-quiet 60`." in text


def test_code_in_a_sentence_is_code_on_the_page() -> None:
    html = to_html(
        [Heading(1, "t"), Paragraph("say `a < b` twice"), Bullets(("one ` alone",))], "en", ""
    )
    assert "say <code>a &lt; b</code> twice" in html and "<li>one ` alone</li>" in html


def test_where_separate_models_are_better_the_page_says_so() -> None:
    small = tuple(replace(path, file_bytes=10_000) for path in SEPARATE.paths)
    slow = tuple(replace(path, engine_ms=1.5 * path.alone_ms) for path in small)
    worse = replace(SEPARATE, paths=slow, engine_memory=Holding(9.0, 9.0))
    late = replace(FACTS.original, latency=Latency(0.5, 0.5, 0.5))  # type: ignore[type-var]
    text = text_of(replace(FACTS, separate=worse, original=late))
    for reason in ("storage", "memory", "time of a call: 150.0%", "no path is faster"):
        assert re.search(f"Does not pay: .*{reason}", text), reason
    assert "80.0 MB more" in text
    one = text_of(replace(FACTS, paths=FACTS.paths[:1]))
    assert "Does not pay: the engine has one path" in one


def test_what_was_not_measured_says_so_and_why() -> None:
    text = text_of(replace(FACTS, separate=None, why_not="it was not asked for", seconds={}))
    assert "Separate models: it was not asked for." in text
    assert "| storage on a device | 100 kB | not measured |" in text
    assert "its stages are not beside the engine" in text
    assert "fleet" not in text
    supernet = text_of(replace(FACTS, original=None))
    assert "there is no original" in supernet and "| 0.2x (aa) | 85.00 | – | 1.00 | – |" in supernet


def test_names_and_texts_are_escaped() -> None:
    evil = Grid(("a|b",), (("<script>",),))
    blocks = [Heading(1, "<b>"), evil, Paragraph("x|y"), Commands(("a < b",))]
    html, markdown = to_html(blocks, "ja", "end"), to_markdown(blocks, "end")
    assert '<html lang="ja">' in html and "<b>" not in html and "&lt;script&gt;" in html
    assert "a\\|b" in markdown and "&lt;script>" in markdown and "    a < b" in markdown
