"""tipsc.yaml: every mistake gets a sentence that names its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from tipsc.errors import ConfigError, DataError
from tipsc.project.config import load_config
from tipsc.project.loading import check_fit, load_data, load_model, make_supernet

GOOD = """
name: toy
model:
  family: temporal
  arguments: {classes: 2, input_shape: [1, 16], channels: [4]}
data: {callable: "data.py:load"}
train: {epochs: 2, frozen_epochs: 1}
build: {paths: 2, evaluations: 4}
"""
DATA = """
import torch
from tipsc.tasks import Classification
from tipsc.train import Data, Split

def load(size=8, dtype=torch.float32):
    split = Split(torch.zeros(size, 1, 16).to(dtype), torch.arange(size) % 2)
    return Data(split, split, split, Classification(("no", "yes")))

def nothing():
    return None

def broken():
    raise RuntimeError("the disk is gone")
"""


def write(folder: Path, text: str = GOOD, data: str = DATA) -> Path:
    (folder / "data.py").write_text(data)
    file = folder / "tipsc.yaml"
    file.write_text(text)
    return file


def test_a_good_file_is_read_from_file_or_folder(tmp_path: Path) -> None:
    file = write(tmp_path)
    config, folder = load_config(file)
    assert load_config(tmp_path) == (config, folder)
    assert config.training.epochs == 2
    assert make_supernet(config, folder).space.size > 1
    assert load_data(config, folder).task.classes == ("no", "yes")


def test_a_limit_that_is_no_quality_of_the_task_is_refused_before_anything_is_done(
    tmp_path: Path,
) -> None:
    for limit, possible in ((0.8, True), (80, False)):
        text = GOOD.replace("build: {", f"build: {{limits: {{quality: {limit}}}, ")
        config, folder = load_config(write(tmp_path, text))
        model = load_model(config, folder)
        if possible:
            check_fit(config, model.supernet, model.data)
        else:
            with pytest.raises(ConfigError, match=r"limits\.quality: .*share from 0 to 1.*got 80"):
                check_fit(config, model.supernet, model.data)


def test_a_loss_in_points_of_a_share_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    for lost, possible in ((0.01, True), (0.5, False), (1, False)):
        text = GOOD.replace("build: {", f"build: {{goals: [{{lose_at_most: {lost}}}], ")
        config, folder = load_config(write(tmp_path, text))
        model = load_model(config, folder)
        if possible:
            check_fit(config, model.supernet, model.data)
        else:
            with pytest.raises(ConfigError, match=r"goals\.0\.lose_at_most.*0\.01 is 1 point"):
                check_fit(config, model.supernet, model.data)


def test_a_sandwich_of_one_path_is_refused(tmp_path: Path) -> None:
    text = GOOD.replace("train: {", "train: {sampler: sandwich, ")
    with pytest.raises(ConfigError, match="largest and the smallest path in each step"):
        _ = load_config(write(tmp_path, text))[0].training
    text = text.replace("sampler: sandwich", "sampler: sandwich, paths_per_step: 4, distill: true")
    assert load_config(write(tmp_path, text))[0].training.paths_per_step == 4


def test_phases_of_training_are_read_strictly(tmp_path: Path) -> None:
    phases = """train:
  sampler: attentive
  sampler_options: {pick: worst, candidates: 2}
  phases:
    - {share: 0.75, paths_per_step: 1, distill: false}
    - {share: 0.25, sampler: uniform, with_smallest: true, paths_per_step: 4}
"""
    config, _ = load_config(write(tmp_path, GOOD.replace("train: {", phases + "  #{")))
    first, second = (recipe for _, recipe in config.training.recipes(100))
    assert (first.sampler, first.sampler_options["pick"], first.distill) == (
        "attentive", "worst", False,
    )  # fmt: skip
    assert (second.sampler, second.with_smallest, second.paths_per_step) == ("uniform", True, 4)
    for wrong, message in (
        ("share: 0.25, shares: 1", r"phases\.1\.shares: unknown key; .*share"),
        ("share: 0.5", "not a whole"),
        ("share: half", r"phases\.1\.share"),
    ):
        text = phases.replace("share: 0.25", wrong)
        with pytest.raises(ConfigError, match=message):
            load_config(write(tmp_path, GOOD.replace("train: {", text + "  #{")))


def test_a_supernet_of_the_same_seed_is_the_same(tmp_path: Path) -> None:
    config, folder = load_config(write(tmp_path))
    one, two = (make_supernet(config, folder).state_dict() for _ in range(2))
    assert all((one[name] == two[name]).all() for name in one)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("epochs: 2", "epohcs: 2", r"key train\.epohcs: unknown key; did you mean epochs"),
        ("paths: 2", "pahts: 2", r"key build\.pahts: unknown key; did you mean paths"),
        ("name: toy", "nmae: toy", r"name.*this key is missing|nmae: unknown key"),
        ("epochs: 2", "epochs: two", r"train\.epochs: .*whole number"),
        ("epochs: 2", "epochs: -1", r"tipsc\.yaml, key train\.epochs: this is out of"),
        ("evaluations: 4", "evaluations: 1", r"evaluations must be at least paths \(2\)"),
        ("paths: 2", "goals: [{lose_at_most: 1%}]", r"lose_at_most: .*0\.01 is 1 point"),
        ("paths: 2", "goals: [{latency_share: 50%}]", r"latency_share: .*0\.5 is half"),
        ("paths: 2", "goals: {lose_at_most: 0.01}", r"goals: .*put `- ` before"),
        ("evaluations: 4", "limits: {latency: 3}", r"key build\.limits\.latency: unknown key"),
        ("evaluations: 4", "limits: {file_bytes: 0}", r"limits\.file_bytes: .*greater than 0"),
        ("evaluations: 4", "budgets_ms: [1.0, -2.0]", r"build\.budgets_ms.*greater than 0"),
        ("[1, 16]", "[1]", r"key model\.arguments\.input_shape: items are missing"),
        (
            "[1, 16]",
            "[1, 2, 3]",
            r"arguments\.input_shape: list should have at most 2 items, not 3",
        ),
        ("[1, 16]", "16", r"arguments\.input_shape: should be a valid list"),
        ("classes: 2", "classes: two", r"arguments\.classes: .*whole number"),
        ("channels: [4]", "depths: [2, 1]", r"arguments: .*do not increase.*sort them"),
        (
            "epochs: 2",
            "sampler_options: {spacing: lin}",
            r"sampler_options\.spacing: .*mean linear",
        ),
        ("name: toy", "name: ../toy", "key name: .*letters, digits"),
        ("epochs: 2", "epochs: '2'", r"train\.epochs: .*without quotes"),
        ('data: {callable: "data.py:load"}', "data: data.py:load", "section.*callable, arg.*got"),
        ("family: temporal", "family: temporla", "did you mean temporal"),
        ("family: temporal", "callable: 'a:b'\n  family: temporal", "one of family, callable and"),
        ("family: temporal", "onnx: model.onnx", "a file takes no arguments"),
        (
            "classes: 2,",
            "clases: 2,",
            r"tipsc\.yaml, key model\.arguments\.clases: unknown key; did you mean classes",
        ),
        ("data.py:load", "data.py:laod", r"has no callable 'laod'; did you mean load"),
        ("data.py:load", "dta.py:load", "there is no such file"),
        ("data.py:load", "load", "names no callable"),
        ("data.py:load", "no_such_package.x:load", "cannot import"),
        (
            "data.py:load",
            "data.py:nothing",
            r"expected a tipsc\.train\.Data or a tipsc\.train\.Unlabelled, got nothing",
        ),
        ('"data.py:load"', '"data.py:load", arguments: {sise: 3}', "cannot be called with these"),
        ("name: toy", "name: toy\nname: toy", "stands twice"),
        ("name: toy", "name: [", "not valid YAML"),
        ("name: toy", "name: !!python/object/apply:os.getcwd []", "not valid YAML"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError, match=message):
        config, folder = load_config(write(tmp_path, GOOD.replace(old, new)))
        make_supernet(config, folder)
        load_data(config, folder)


def test_data_that_cannot_be_are_named(tmp_path: Path) -> None:
    data = DATA.replace("% 2)", "% 3)")
    config, folder = load_config(write(tmp_path, data=data))
    with pytest.raises(DataError, match="a target has no class"):
        load_data(config, folder)


@pytest.mark.parametrize(
    ("text", "exits"), [("true", True), ("false", False), ("2", 2), ("[1, 3]", (1, 3))]
)
def test_early_exits_are_all_or_some_or_these(
    tmp_path: Path, text: str, exits: bool | int | tuple[int, ...]
) -> None:
    config, _ = load_config(write(tmp_path, GOOD + f"convert: {{exits: {text}}}\n"))
    assert config.convert is not None
    assert config.convert.exits == exits and type(config.convert.exits) is type(exits)


@pytest.mark.parametrize("text", ["0", "[]", "[0]", "all", "1.5"])
def test_what_says_nothing_of_early_exits_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="exits"):
        load_config(write(tmp_path, GOOD + f"convert: {{exits: {text}}}\n"))


def test_a_family_needs_labels_and_no_conversion(tmp_path: Path) -> None:
    config, folder = load_config(write(tmp_path, GOOD + "convert: {depth: false}\n"))
    with pytest.raises(ConfigError, match="convert: the model is elastic already"):
        load_model(config, folder)
    unlabelled = """
import torch
from tipsc.train import Unlabelled

def load():
    return Unlabelled(*(torch.zeros(8, 1, 16) for _ in range(3)))
"""
    config, folder = load_config(write(tmp_path, data=unlabelled))
    with pytest.raises(ConfigError, match=r"can do without labels.*nn\.Module"):
        load_model(config, folder)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_config(tmp_path / "tipsc.yaml")


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        (
            "epochs: 2",
            "sampler: foldde",
            ("key train.sampler:", "uniform", "did you mean folded?"),
        ),
        (
            "epochs: 2",
            "schedule: cosin",
            ("key train.schedule:", "one-cycle", "did you mean cosine?"),
        ),
        (
            "epochs: 2",
            "sampler_options: {thirft: 1}",
            ("key train.sampler_options.thirft:", "did you mean thrift?"),
        ),
        (
            "epochs: 2",
            "phases: [{share: 1.0, sampler: unifrom}]",
            ("key train.phases.0.sampler:", "did you mean uniform"),
        ),
        (
            "epochs: 2",
            "epochs: 1, frozen_epochs: 2",
            ("key train.frozen_epochs:", "expected 0 to 1", "got 2"),
        ),
        ("family: temporal", "family: mobilnet", ("key model.family:", "did you mean mobilenet")),
        ("seed: 0", "convert: {deph: true}", ("key convert.deph:", "did you mean depth?")),
        ("evaluations: 4", "evaluations: 1", ("key build: evaluations must be", "(2)")),
    ],
)
def test_a_name_that_is_not_known_is_placed_and_corrected(
    tmp_path: Path, old: str, new: str, parts: tuple[str, ...]
) -> None:
    """File and key, what is allowed, and the nearest name, before anything is loaded."""
    text = GOOD.replace("epochs: 2, frozen_epochs: 1", "epochs: 2") + "seed: 0\n"
    assert old in text
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, text.replace(old, new)))
    for part in (f"{tmp_path / 'tipsc.yaml'}, ", *parts):
        assert part in str(caught.value)


def test_one_epoch_needs_no_word_about_the_frozen_ones(tmp_path: Path) -> None:
    text = GOOD.replace("epochs: 2, frozen_epochs: 1", "epochs: 1")
    config, _ = load_config(write(tmp_path, text))
    assert config.training.frozen_epochs == 1


def test_a_section_that_contradicts_itself_is_not_printed_whole(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, GOOD.replace("evaluations: 4", "evaluations: 1")))
    assert "{" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("name: a\n\tseed: 0\n", ("line 2", "spaces", "seed: 0")),
        ("name: [a\n", ("line 1", "never closed", "close it")),
        ("name: a: b\n", ("line 1", "quotes")),
        ("name: a\nseed 0\n", ("line 2", "without ': '")),
        ("name: a\n  seed: 0\n", ("line 2", "indent")),
        ("name: {a: 1, b: 2\nseed: 0\n", ("line 2", "bracket")),
        ("name: a\nseed: 0\nname: b\n", ("line 3", "'name' stands twice")),
        ("name: !!python/name:os.getcwd\n", ("line 1", "not allowed")),
        ("name: \x00", ("no text", "UTF-8")),
    ],
)
def test_a_broken_file_is_told_line_and_repair(
    tmp_path: Path, text: str, parts: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, text))
    said = str(caught.value)
    for part in parts:
        assert part in said
    for jargon in ("byte string", "<stream", "<block", "scalar", "context", "while "):
        assert jargon not in said


def test_a_missing_file_leads_to_init(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"run `tipsc init {tmp_path}`"):
        load_config(tmp_path / "nofile.yaml")


def test_an_error_in_the_users_file_has_its_line(tmp_path: Path) -> None:
    data = DATA.replace("torch.zeros(size, 1, 16)", "torch.full((size, 1, 16), float('nan'))")
    config, folder = load_config(write(tmp_path, data=data))
    with pytest.raises(DataError, match=r"data\.py, line 7 \(example 0\): 8 of 8 .* NaN"):
        load_data(config, folder)
    config, folder = load_config(write(tmp_path, data="def load(:\n    pass\n"))
    with pytest.raises(ConfigError, match=r"data\.callable \(.*data\.py, line 1\): .*SyntaxError"):
        load_data(config, folder)


def test_a_type_error_inside_the_users_code_is_not_blamed_on_arguments(tmp_path: Path) -> None:
    config, folder = load_config(write(tmp_path, data="def load():\n    return 1 + 'a'\n"))
    with pytest.raises(TypeError, match="unsupported operand"):
        load_data(config, folder)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (
            "[{channel: 8, depths: [1, 2]}]",
            r"stages\.0\.channel: unknown key; did you mean channels",
        ),
        ("[{channels: 8, depths: 2}]", r"stages\.0\.depths: should be a valid list .got 2"),
        ("[{channels: 8, depths: [1], kernels: [4]}]", r"stages\.0: .*kernels odd.*kernels \(4,\)"),
        ("[]", r"stages: a net needs at least one stage"),
    ],
)
def test_a_stage_is_read_as_strictly(tmp_path: Path, stages: str, message: str) -> None:
    arguments = f"{{classes: 2, input_shape: [1, 8, 8], stem: 4, head: 4, stages: {stages}}}"
    text = GOOD.replace("family: temporal", "family: mobilenet")
    text = text.replace("{classes: 2, input_shape: [1, 16], channels: [4]}", arguments)
    config, folder = load_config(write(tmp_path, text))
    with pytest.raises(ConfigError, match=rf"tipsc\.yaml, key model\.arguments\.{message}"):
        make_supernet(config, folder)


def test_two_projects_in_one_process_import_their_own_neighbours(tmp_path: Path) -> None:
    shapes = []
    for length in (16, 24):
        folder = tmp_path / str(length)
        folder.mkdir()
        (folder / "sizes.py").write_text(f"LENGTH = {length}\n")
        data = DATA.replace("import torch\n", "import torch\nfrom sizes import LENGTH\n", 1)
        file = write(folder, data=data.replace("1, 16", "1, LENGTH"))
        config, place = load_config(file)
        shapes.append(tuple(load_data(config, place).train.inputs.shape))
    assert shapes == [(8, 1, 16), (8, 1, 24)]
