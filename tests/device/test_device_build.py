"""A whole build over ssh: what comes back is what this machine gives."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from tipsc.device.client import connect
from tipsc.device.measuring import Remote
from tipsc.engine import read_engine
from tipsc.errors import EngineDamagedError
from tipsc.measure.resources import input_power
from tipsc.pipeline.build import Pipeline
from tipsc.pipeline.engine import VERIFIED
from tipsc.pipeline.profile import FILE as PROFILE
from tipsc.profile import Profile, read_system
from tipsc.project.target import load_target
from tipsc.runtime import Engine


def digits(folder: Path) -> Path:
    """The tiny project of the command line's tests."""
    file = Path(__file__).parents[1] / "cli" / "conftest.py"
    spec = importlib.util.spec_from_file_location("cli_projects", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.write_project(folder)


def test_a_build_over_ssh_equals_a_local_one(
    with_sensor: None, ssh: str, root: Path, tmp_path: Path
) -> None:
    """But for energies: only this process has a sensor."""
    folder = digits(tmp_path / "digits")
    here = Pipeline(folder, output=tmp_path / "here.tipsc")
    here.run()
    with connect(ssh) as connection:
        device = Remote(connection)
        there = Pipeline(folder, output=tmp_path / "there.tipsc", device=device)
        there.run()

        cached = {stage.name for stage in there.stages.done if stage.cached}
        assert "train" in cached
        assert "profile" not in cached  # measured there, not taken from this machine
        profile = Profile.load(there.profile().folder / PROFILE)
        assert profile.system.cpu == read_system().cpu
        assert {path.id for path in profile.paths} == {
            path.id for path in Profile.load(here.profile().folder / PROFILE).paths
        }
        paths = read_engine(tmp_path / "here.tipsc").manifest.paths
        assert all(path.energy_mj is not None for path in paths)
        if input_power()() is None:
            paths = read_engine(tmp_path / "there.tipsc").manifest.paths
            assert all(path.energy_mj is None for path in paths)
        verified = json.loads((there.engine().folder / VERIFIED).read_bytes())["differences"]
        locally = json.loads((here.engine().folder / VERIFIED).read_bytes())["differences"]
        for path in verified.keys() & locally.keys():
            assert verified[path] == locally[path]

        x = np.random.default_rng(0).standard_normal((5, 1, 8, 8)).astype(np.float32)
        ids = [path.id for path in read_engine(tmp_path / "there.tipsc").manifest.paths]
        with (
            Engine.open(tmp_path / "there.tipsc") as engine,
            device.opened(tmp_path / "there.tipsc", load_target("host"), ids, [x]) as run,
        ):
            for path in ids:
                for row in x:
                    np.testing.assert_array_equal(
                        run([row[None]], path)[0], engine.run(row[None], path=path)
                    )
        broken = tmp_path / "broken.tipsc"
        broken.write_bytes((tmp_path / "there.tipsc").read_bytes()[:-4096])
        with (  # it is damaged here, so that no device is named
            pytest.raises(EngineDamagedError, match=r"^\S*broken\.tipsc: "),
            device.opened(broken, load_target("host"), ids, [x]),
        ):
            pass
        blobs = {"engine": connection.push(broken), "inputs": device._push([x])}
        with pytest.raises(EngineDamagedError, match="on ssh://"):
            connection.run("outputs", {"threads": 1, "paths": ids}, blobs)
        connection.clean()
    assert not root.exists()
