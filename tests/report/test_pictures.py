"""The pictures of a task say what the answers say, and fit into the page like the rest of it."""

from __future__ import annotations

import base64
import re
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from made_up_reports import report
from test_report_page import HOSTILE, assert_drawable, parsed

from tipsc.pipeline.answers import Answers
from tipsc.report import render
from tipsc.report.data import Pictures
from tipsc.report.pictures.image import PALETTE, areas, colour, photograph, pictures_in
from tipsc.report.pictures.shown import PICTURES, pictures_of
from tipsc.tasks import Classification
from tipsc.tasks.detection import Detection
from tipsc.tasks.imitation import Imitation
from tipsc.tasks.multilabel import MultiLabel
from tipsc.tasks.regression import Regression
from tipsc.tasks.segmentation import Segmentation

PATHS = ("fast", "middle", "best")
CAPTIONS = {path: f"{path}, 0.1 ms" for path in PATHS}
COLOURS = np.random.default_rng(0)
IMAGES = COLOURS.standard_normal((3, 3, 24, 32)).astype(np.float32)


def answers(targets: Any, outputs: Any, inputs: Any = IMAGES) -> Answers:
    """All paths say the same."""
    return Answers(inputs, targets, dict.fromkeys(PATHS, outputs))


def found_boxes() -> Answers:
    """Of three images: one box that is found, none, and one that is taken for another."""
    boxes = np.zeros((3, 2, 4), np.float32)
    boxes[:, 0] = (4, 4, 12, 20)
    labels = np.array([[0, -1], [-1, -1], [1, -1]])
    scores = np.full((3, 5, 2), -9.0, np.float32)
    scores[0, 1, 0] = scores[2, 3, 0] = 4.0
    places = np.tile(np.float32((5, 4, 12, 20)), (3, 5, 1))
    return answers({"boxes": boxes, "labels": labels}, {"scores": scores, "boxes": places})


def said_classes() -> Answers:
    """Ten examples of three classes; one of the first is taken for the last."""
    targets = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
    said = np.array([0, 0, 0, 2, 1, 1, 1, 2, 2, 2])
    return answers(targets, np.eye(3, dtype=np.float32)[said])


def said_labels() -> Answers:
    there = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], bool)
    return answers(there, np.where(np.array([[1, 1], [0, 0], [0, 1], [0, 1]]), 2.0, -2.0))


def said_places() -> Answers:
    """The right half is the second class; the third is said below."""
    truth = np.zeros((3, 24, 32), np.int64)
    truth[:, :, 20:], truth[:, :2] = 1, 255
    scores = np.zeros((3, 3, 24, 32), np.float32)
    scores[:, 0], scores[:, 1, :, 20:], scores[:, 2, 22:] = 1, 2, 3
    return answers(truth, scores)


def said_numbers() -> Answers:
    true = np.linspace(-1, 3, 2000, dtype=np.float32)[:, None]
    return answers(true, 0.9 * true)


NAMES = ("coat", HOSTILE, "bag")
CASES: Mapping[str, tuple[Any, Any]] = {
    "classification": (Classification(NAMES), said_classes),
    "multi-label": (MultiLabel(NAMES[:2]), said_labels),
    "regression": (Regression(unit=HOSTILE), said_numbers),
    "segmentation": (Segmentation(NAMES), said_places),
    "detection": (Detection(NAMES[:2]), found_boxes),
}


def shown(case: str) -> Pictures:
    task, made = CASES[case]
    pictures = pictures_of(task, made(), CAPTIONS)
    assert pictures is not None
    return pictures


def test_each_kind_of_picture_is_among_the_cases() -> None:
    assert {type(task) for task, _ in CASES.values()} == set(PICTURES)


@pytest.mark.parametrize("case", CASES)
def test_they_are_on_a_balanced_page_that_needs_nothing_else(case: str) -> None:
    page = render(report(pictures=shown(case)))
    assert_drawable(page)
    found = parsed(page)
    plain = parsed(render(report()))
    assert found.seen.count("script") == plain.seen.count("script")  # names are text
    references = {value for name, value in found.attributes if name in ("href", "src")}
    assert all(value and value.startswith(("data:", "#")) for value in references)
    named = {f"#{value}" for name, value in found.attributes if name == "id"}
    assert {value for value in references if value and value.startswith("#")} <= named
    assert "".join(found.text).count(CAPTIONS["best"]) == 1


def test_a_task_without_pictures_has_no_section() -> None:
    assert pictures_of(Imitation(), said_numbers(), CAPTIONS) is None
    assert "Predicted against true" not in render(report(pictures=None))


def test_boxes_are_those_of_the_truth_and_of_each_path() -> None:
    drawn = str(shown("detection").drawn)
    rectangles = re.findall(r'<rect x="([\d.]+)"[^>]*class="box" stroke="(#\w+)">', drawn)
    assert rectangles[:2] == [("4", colour(0)), ("4", colour(1))]
    assert rectangles[2:] == 3 * [("5", colour(0)), ("5", colour(0))]
    assert drawn.count("<title>coat 0.98") == 6  # the sigmoid of 4


def test_an_image_is_in_the_page_once_and_referred_to_by_the_other_rows() -> None:
    drawn = str(shown("detection").drawn)
    assert drawn.count("<image") == len(IMAGES)
    assert drawn.count("<use") == 3 * len(IMAGES)


def test_detection_without_an_image_has_no_picture() -> None:
    task, made = CASES["detection"]
    blind = Answers(np.zeros((3, 7), np.float32), made().targets, made().outputs)
    assert pictures_of(task, blind, CAPTIONS) is None


def test_classes_of_places_are_coloured_but_for_the_commonest_and_what_is_not_judged() -> None:
    number, depth = classes_and_depth(areas(said_places().targets[0], (0, 255)))
    assert number[0, 0] == 2 and depth[2] == 0  # 255 is the third that there is
    assert number[5, 5] == 0 and depth[0] == 0
    assert number[5, 25] == 1 and depth[1] > 0
    assert "Not coloured: coat" in shown("segmentation").note


def test_masks_of_places_that_are_no_image_have_no_picture() -> None:
    series = answers(np.zeros((3, 9), np.int64), np.zeros((3, 3, 9), np.float32))
    assert pictures_of(Segmentation(NAMES), series, CAPTIONS) is None


def test_confusions_are_per_cent_of_what_is_true() -> None:
    drawn = str(shown("classification").drawn)
    cells = re.findall(r'class="cell[^"]*">(\d+)<', drawn)
    assert cells == 2 * ["75", "25", "100", "100"]  # of the fastest and the best path
    assert drawn.count("coat, bag\n1 example<") == 2


def test_more_classes_than_can_be_read_have_no_picture() -> None:
    many = Classification(tuple(map(str, range(21))))
    assert pictures_of(many, said_classes(), CAPTIONS) is None


def test_labels_are_found_missed_or_said_for_nothing() -> None:
    cells = re.findall(r'class="cell[^"]*">(\d+)<', str(shown("multi-label").drawn))
    assert cells == 2 * ["50", "50", "100", "50"]


def test_predictions_that_are_right_lie_on_the_line() -> None:
    task = Regression()
    true = np.float32([[0], [1], [2]])
    exact = str(pictures_of(task, answers(true, true), CAPTIONS).drawn)  # type: ignore[union-attr]
    line = re.search(r'd="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)" class="flat"', exact)
    assert line is not None
    x1, y1, x2, y2 = map(float, line.groups())
    dots = re.findall(r"M([\d.]+) ([\d.]+)h0", exact)
    assert len(dots) == 3 * 3
    for x, y in dots:
        along = (float(x) - x1) / (x2 - x1)
        assert y1 + along * (y2 - y1) == pytest.approx(float(y), abs=0.2)


def test_at_most_500_values_are_drawn() -> None:
    assert str(shown("regression").drawn).count("h0") == 3 * 500


@pytest.mark.parametrize("channels", [1, 3])
def test_a_photograph_spans_black_to_white(channels: int) -> None:
    ramp = np.linspace(-2, 5, 40 * 30, dtype=np.float32).reshape(1, 40, 30)
    pixels, _ = decoded(photograph(ramp.repeat(channels, 0)))
    assert pixels.shape == (40, 30, channels)
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert bool((np.diff(pixels[..., 0].ravel().astype(int)) >= 0).all())


def test_a_flat_image_and_one_that_is_not_finite_can_be_drawn() -> None:
    assert decoded(photograph(np.zeros((1, 4, 4), np.float32)))[0].shape == (4, 4, 1)
    broken = np.full((1, 4, 4), np.nan, np.float32)
    assert decoded(photograph(broken))[0].max() == 0


def test_a_large_image_is_thinned() -> None:
    pixels, _ = decoded(photograph(np.zeros((3, 1000, 500), np.float32)))
    assert pixels.shape == (250, 125, 3)


def test_images_are_found_among_the_inputs_whatever_axis_has_their_channels() -> None:
    pixels = np.arange(2 * 3 * 8 * 6, dtype=np.uint8).reshape(2, 3, 8, 6)
    for given in (pixels, pixels.transpose(0, 2, 3, 1)):
        found = pictures_in({"tokens": np.zeros((2, 5)), "image": given})
        np.testing.assert_array_equal(found, pixels)
    assert pictures_in((np.zeros((2, 5)), np.zeros((2, 7, 8, 6)))) is None


def test_colours_come_again_after_the_last() -> None:
    assert colour(0) == colour(len(PALETTE)) == "#56b4e9"


def decoded(image: bytes) -> tuple[np.ndarray, dict[bytes, bytes]]:
    """Pixels and chunks of a PNG without filters; its checksums are right."""
    assert image.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = {}, 8
    while at < len(image):
        (length,) = struct.unpack(">I", image[at : at + 4])
        name, content = image[at + 4 : at + 8], image[at + 8 : at + 8 + length]
        assert struct.unpack(">I", image[at + 8 + length : at + 12 + length])[0] == zlib.crc32(
            name + content
        )
        chunks[name], at = content, at + 12 + length
    width, height, bits, kind = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert bits == 8
    channels = 3 if kind == 2 else 1
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8)
    rows = lines.reshape(height, 1 + width * channels)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width, channels), chunks


def classes_and_depth(image: bytes) -> tuple[np.ndarray, bytes]:
    pixels, chunks = decoded(image)
    return pixels[..., 0], chunks[b"tRNS"]


def test_an_embedded_image_is_the_image() -> None:
    drawn = str(shown("detection").drawn)
    (first, *_) = re.findall(r"data:image/png;base64,([\w+/=]+)", drawn)
    assert base64.b64decode(first) == photograph(IMAGES[0])
