"""Whatever stops a conversion is said in our words: layer, operation, line of the user's file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from architectures.kinds import VECTOR, Between
from torch import Tensor, fx, nn

from tipsc.convert import capture as captured
from tipsc.convert import convert
from tipsc.convert import program as recorded
from tipsc.convert.ops import OPS
from tipsc.errors import ConversionError, LoweringError
from tipsc.lower import lower


def line_of(text: str) -> str:
    lines = Path(__file__).read_text().splitlines()
    number = next(i for i, line in enumerate(lines, 1) if text in line)
    return rf"{re.escape(__file__)}, line {number}\)"


class Wrong(nn.Module):
    """Its forward pass cannot be run."""

    def __init__(self) -> None:
        super().__init__()
        self.part = Part()

    def forward(self, x: Tensor) -> Tensor:
        return self.part(x)


class Part(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x)
        return y @ y  # these shapes do not fit


class Squashed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x)  # which is blamed


def test_the_users_own_line_is_named() -> None:
    with pytest.raises(ConversionError, match=line_of("these shapes do not" + " fit")) as caught:
        convert(Wrong().eval(), torch.randn(VECTOR))
    assert "part (Part.forward" in str(caught.value)


class Deciding(nn.Module):
    """Its way depends on what the tensor holds."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(12, 32), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        if x.mean() > 0:  # this decides
            x = torch.relu(x)
        return self.b(x)


def test_a_decision_by_values_is_said_in_our_words() -> None:
    with pytest.raises(ConversionError, match=line_of("this" + " decides")) as caught:
        convert(Deciding().eval(), torch.randn(VECTOR))
    said = str(caught.value)
    assert "control flow depends on the values in a tensor; let it depend on shapes" in said
    assert "guard" not in said and "Eq(" not in said


class Picking(Deciding):
    """Gives as many places as are found, as a detector's last step does."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.b(torch.relu(self.a(x)))
        return x[torch.nonzero(x[:, 0] > 0)[:, 0]]  # as many as are found


def test_a_size_that_depends_on_values_is_said_in_our_words() -> None:
    with pytest.raises(ConversionError, match=line_of("# as many" + " as are found")) as caught:
        convert(Picking().eval(), torch.randn(VECTOR))
    assert "nonzero" in str(caught.value)
    assert "how much it gives depends on the values in a tensor; leave it" in str(caught.value)


def test_a_defect_of_a_rule_names_the_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setitem(OPS, "tanh", type(OPS["tanh"])(broken))  # type: ignore[index]
    model = nn.Sequential(nn.Linear(12, 4), Squashed(), nn.Linear(4, 4))
    message = rf"1, tanh \({line_of('which is' + ' blamed')}: this operation cannot"
    with pytest.raises(ConversionError, match=message) as caught:
        convert(model.eval(), torch.randn(VECTOR))
    assert "ZeroDivisionError: by zero" in str(caught.value)


class Late(nn.Module):
    """When it is done, the time is up."""

    def forward(self, x: Tensor) -> Tensor:
        recorded.LIMIT_S = 0
        return x


def test_a_conversion_ends_in_time_while_torch_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "LIMIT_S", 600)
    model = nn.Sequential(Late(), nn.Linear(12, 4))
    with pytest.raises(ConversionError, match=r"^1: .* takes too long \(expected at most 0 s"):
        convert(model.eval(), torch.randn(VECTOR))


def test_a_conversion_ends_in_time_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    check = captured._check_sizes

    def exported(graph: fx.Graph) -> None:
        monkeypatch.setattr(recorded, "LIMIT_S", 0)
        check(graph)

    monkeypatch.setattr(captured, "_check_sizes", exported)
    with pytest.raises(ConversionError, match=r", \w+ .*: the conversion takes too long"):
        convert(Between(lambda s, x: x).eval(), torch.randn(VECTOR))


def test_an_operation_that_onnx_lacks_is_named() -> None:
    model = Between(lambda s, x: torch.special.bessel_j0(x)).eval()
    supernet = convert(model, torch.randn(VECTOR))
    with pytest.raises(LoweringError) as caught:
        lower(supernet, [supernet.space.largest])
    assert str(caught.value).startswith(
        "operation special_bessel_j0: ONNX has no operation for bessel_j0"
    )
    assert "\x1b" not in str(caught.value) and "report" not in str(caught.value)
