"""From a model and data in memory to an engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tipsc.convert import convert
from tipsc.elastic import extract
from tipsc.errors import ConfigError
from tipsc.notebook import Built, build, engine_from
from tipsc.tasks import Classification
from tipsc.train import Data, Split

SMALL = {"measured": 10, "evaluations": 4}


def split(seed: int) -> Split:
    x = torch.randn(60, 8, generator=torch.Generator().manual_seed(seed))
    return Split(x, x[:, :4].argmax(1))


def data(task: Classification | None = None) -> Data:
    return Data(split(1), split(2), split(3), task)


def plain() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 4)
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Built, Path]:
    folder = tmp_path_factory.mktemp("built")
    return made_in(folder), folder


def made_in(folder: Path, *, quiet: bool = True) -> Built:
    return build(
        plain().eval(),
        data(),
        task=Classification(tuple("abcd")),
        name="tiny",
        folder=folder,
        quiet=quiet,
        train={"epochs": 2, "batch_size": 16},
        build={"paths": 2, **SMALL},
    )


def test_what_is_in_memory_becomes_an_engine_with_a_page(built: tuple[Built, Path]) -> None:
    found, folder = built
    assert found.engine == folder / "tiny-host.tipsc"
    x = data().test.inputs[:1].numpy()
    with found.open() as engine:
        for path in engine.paths:
            assert engine.run(x, path=path.id).shape == (1, 4)
    shown = found._repr_html_()
    assert shown.startswith("<iframe") and "tiny" in shown
    assert found.record.manifest.paths[0].id in repr(found)


def test_the_same_again_comes_from_what_was_kept(built: tuple[Built, Path]) -> None:
    first, folder = built
    again = made_in(folder)
    assert all(stage.cached for stage in again.record.stages)
    assert again.record.manifest == first.record.manifest


def test_paths_of_a_trained_supernet_ship_as_they_are(tmp_path: Path) -> None:
    supernet = convert(plain().eval(), torch.randn(2, 8), widths=(0.5, 1.0))
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    paths = [supernet.space.smallest, supernet.space.largest]
    judged = data(Classification(tuple("abcd")))
    found = engine_from(supernet, paths, judged, folder=tmp_path, quiet=True, build=SMALL)
    x = judged.test.inputs[:1]
    with found.open() as engine:
        assert {path.id for path in engine.paths} == {path.id for path in paths}
        for path in paths:
            expected = extract(supernet, path)(x).detach().numpy()
            assert np.allclose(engine.run(x.numpy(), path=path.id), expected, atol=1e-5)
    assert all(torch.equal(before[n], v) for n, v in supernet.state_dict().items())


def test_what_the_original_is_worth_is_said_unless_it_is_to_be_quiet(
    built: tuple[Built, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    made_in(built[1])
    assert capsys.readouterr().err == ""
    made_in(built[1], quiet=False)  # all stages are kept
    assert "original: accuracy" in capsys.readouterr().err


def test_a_key_that_is_not_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="epoch"):
        build(plain().eval(), data(), folder=tmp_path, quiet=True, train={"epoch": 2})


def test_what_a_person_wrote_stays(tmp_path: Path) -> None:
    mine = tmp_path / "tipsc.yaml"
    mine.write_text("name: mine")
    with pytest.raises(ConfigError, match="another folder"):
        build(plain().eval(), data(), folder=tmp_path, quiet=True)
    assert mine.read_text() == "name: mine"
