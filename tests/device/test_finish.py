"""Finishing an engine over a link: plans are really built; no GPU is here to run them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from synthetic_engine import tiny_net

from tipsc.backends.tensorrt import api, check_built
from tipsc.device.client import connect
from tipsc.device.measuring import Remote
from tipsc.engine import read_engine, unpack, write_engine
from tipsc.engine.manifest import TAKEN
from tipsc.errors import EngineDamagedError, EngineDeviceError, UsageError
from tipsc.pipeline.finish import finish
from tipsc.project.target import load_target
from tipsc.runtime import Engine

needs_nvidia = pytest.mark.skipif(
    api.installed() is None, reason="tensorrt-rtx-cu12 has no wheel for this platform or Python"
)
RECIPE = {
    "precision": "fp32",
    "paths chosen by": "the profile a.json",
    f"{TAKEN}tensorrt version": "10.3.0",
    f"{TAKEN}power mode": "MAXN",
}


@pytest.fixture
def unbuilt(tmp_path: Path) -> Path:
    net, file = tiny_net(), tmp_path / "tiny-jetson.tipsc"
    graphs = {
        "shallow": net.graph(net.options(3, full=False), seed=0),
        "full": net.graph(net.options(3), seed=1),
    }
    manifest = replace(
        net.manifest(list(graphs)), target="jetson", backend="tensorrt", recipe=RECIPE
    )
    write_engine(file, manifest, net.store.blob, graphs)
    return file


@needs_nvidia
def test_plans_are_built_on_the_device_and_come_back(ssh: str, unbuilt: Path) -> None:
    before = read_engine(unbuilt)
    with connect(ssh) as connection:
        done = finish(unbuilt, connection, run=False)
    after = read_engine(unbuilt)
    assert not after.manifest.unbuilt
    assert after.manifest.built["state"] == "built, not run"
    assert after.manifest.recipe == RECIPE  # it can be finished again
    assert all(path.latency is None for path in after.manifest.paths)
    assert {plan.paths for plan in after.plans} == {(p.id,) for p in before.manifest.paths}
    assert all(len(plan.content) > 1000 for plan in after.plans)
    assert after.manifest.built["plans"] == "2 for 2 paths"
    for path in before.manifest.paths:
        assert after.graph(path.id) == before.graph(path.id)
    assert bytes(after.weights) == bytes(before.weights)
    assert any("another tensorrt version" in remark for remark in done.remarks)

    with pytest.raises(EngineDeviceError, match=r"no CUDA device is here.*tipsc|--device") as error:
        Engine.open(unbuilt)
    assert error.value.exit_code == 3
    names = {file.name for file in unpack(unbuilt, unbuilt.parent / "standard")}
    assert {f"{path.id}.plan" for path in after.manifest.paths} < names

    damaged = bytearray(unbuilt.read_bytes())
    damaged[-1] ^= 1
    unbuilt.write_bytes(damaged)
    with pytest.raises(EngineDamagedError, match="section plans is altered"):
        read_engine(unbuilt)


@needs_nvidia
def test_without_a_gpu_nothing_is_run_and_the_engine_stays_as_it_was(
    local: str, unbuilt: Path
) -> None:
    before = unbuilt.read_bytes()
    with connect(local) as connection:
        with pytest.raises(EngineDeviceError, match=r"on local.*no CUDA device is here"):
            finish(unbuilt, connection)
        with pytest.raises(EngineDeviceError, match="no CUDA device is here"):
            ids = [path.id for path in read_engine(unbuilt).manifest.paths]
            with Remote(connection).opened(unbuilt, load_target("jetson"), ids, None):  # type: ignore[arg-type]
                pass
    assert unbuilt.read_bytes() == before


def test_an_engine_that_needs_no_finishing_is_told(engine_file: Path, local: str) -> None:
    with (
        connect(local) as connection,
        pytest.raises(UsageError, match=r"needs no finishing.*onnxruntime"),
    ):
        finish(engine_file, connection)


@pytest.mark.parametrize(
    ("name", "value"),
    [("module", "tensorrt"), ("version", "10.3.0"), ("compute capability", "8.7")],
)
def test_plans_of_another_version_or_device_are_refused(
    name: str, value: str, unbuilt: Path
) -> None:
    manifest = read_engine(unbuilt).manifest
    built = {"module": "tensorrt", "version": "10.3.0", "compute capability": "8.7"}
    here = dict(built)
    check_built(replace(manifest, built=built), here, "an engine")
    with pytest.raises(EngineDeviceError, match=f"another {name}.*tipsc finish"):
        check_built(replace(manifest, built={**built, name: "other"}), here, "an engine")
