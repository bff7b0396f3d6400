"""Sample data for the projects that `tipsc init` writes: small, made by a formula, the same always.

Only that of classification is real, and lies among the templates as a file.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np

Arrays = dict[str, np.ndarray]

SIDE, NOISE = 32, 40  # pixels of an image, and grey values of its noise


def sample_of(kind: str) -> bytes:
    """The .npz file of a kind of data; see :data:`SAMPLES`."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **SAMPLES[kind](np.random.default_rng(0)))  # type: ignore[arg-type]
    return buffer.getvalue()


def numbers(chance: np.random.Generator) -> Arrays:
    """Six measured numbers (N, 6), and one (N, 1) that follows from them but for some noise."""
    x = chance.normal(size=(1500, 6)).astype(np.float32)
    y = x[:, 0] * x[:, 1] + np.sin(2 * x[:, 2]) + 0.5 * np.abs(x[:, 3]) - x[:, 4]
    noise = 0.1 * chance.normal(size=len(y))
    return {"inputs": x, "targets": (y + noise)[:, None].astype(np.float32)}


def boxes(chance: np.random.Generator) -> Arrays:
    """Images (N, 1, 32, 32) with a box around each square and disc."""
    return {name: array for name, array in _shapes(chance).items() if name != "masks"}


def masks(chance: np.random.Generator) -> Arrays:
    """The same images, with a class for each pixel."""
    shapes = _shapes(chance)
    names = np.array(["ground", *shapes["classes"]])
    return {"inputs": shapes["inputs"], "targets": shapes["masks"], "classes": names}


def _shapes(chance: np.random.Generator, count: int = 600, most: int = 2) -> Arrays:
    """One or two shapes in each image, the second in front of the first."""
    images = chance.integers(0, NOISE, (count, 1, SIDE, SIDE))
    places = np.zeros((count, most, 4), np.float32)
    labels = np.full((count, most), -1)
    marked = np.zeros((count, SIDE, SIDE), np.uint8)
    row, column = np.mgrid[:SIDE, :SIDE]
    for image in range(count):
        for number in range(chance.integers(1, most + 1)):
            size = int(chance.integers(8, 15))
            # side by side, so that none hides another
            left = int(chance.integers(0, SIDE // most - size + 1)) + SIDE // most * number
            top = int(chance.integers(0, SIDE - size + 1))
            label = int(chance.integers(0, 2))
            across, down = column - left, row - top
            inside = (across >= 0) & (across < size) & (down >= 0) & (down < size)
            if label == 1:
                centre = (size - 1) / 2
                inside &= (across - centre) ** 2 + (down - centre) ** 2 <= (size / 2) ** 2
            images[image, 0][inside] += int(chance.integers(100, 200))
            places[image, number] = left, top, left + size, top + size
            labels[image, number] = label
            marked[image][inside] = label + 1
    return {
        "inputs": images.astype(np.uint8),
        "boxes": places,
        "labels": labels,
        "masks": marked,
        "classes": np.array(["square", "disc"]),
    }


def series(chance: np.random.Generator) -> Arrays:
    """What an accelerometer might give, (N, 3, 64), while its wearer does one of four things."""
    names, count, length = ["still", "walks", "runs", "turns"], 1000, 64
    label = chance.integers(0, len(names), count)
    beat = np.array([0.0, 2.0, 4.5, 0.7])[label] * chance.uniform(0.8, 1.2, count)
    force = np.array([0.0, 0.8, 1.2, 1.0])[label] * chance.uniform(0.7, 1.3, count)
    time = np.arange(length) / length
    phase = chance.uniform(0, 2 * np.pi, (count, 3, 1)) + 2 * np.pi * beat[:, None, None] * time
    clean = force[:, None, None] * np.sin(phase) * chance.uniform(0.5, 1, (count, 3, 1))
    inputs = clean + 0.5 * chance.normal(size=clean.shape)
    return {
        "inputs": inputs.round(2).astype(np.float32),
        "targets": label,
        "classes": np.array(names),
    }


def texts(chance: np.random.Generator) -> Arrays:
    """What one says to a home: short orders, and what each is about."""
    about = {
        "light": (
            ["turn on", "turn off", "dim", "switch on"],
            ["the lamp", "the light", "all lights", "the bulb"],
        ),
        "heating": (
            ["turn up", "turn down", "lower", "raise"],
            ["the heating", "the warmth", "the radiator", "the heater"],
        ),
        "music": (
            ["play", "stop", "turn up", "turn off"],
            ["the radio", "some jazz", "the song", "the music"],
        ),
    }
    rooms = ["", " in the hall", " upstairs", " in here", " please", " now", " outside"]
    said = [
        (f"{chance.choice(verbs)} {chance.choice(things)}{chance.choice(rooms)}", label)
        for label, (verbs, things) in enumerate(about.values())
        for _ in range(300)
    ]
    lines, labels = zip(*said, strict=True)
    return {
        "texts": np.array(lines),
        "targets": np.array(labels),
        "classes": np.array(list(about)),
    }


#: kinds of data by the names of what makes them
SAMPLES: dict[str, Callable[[np.random.Generator], Arrays]] = {
    "numbers": numbers,
    "boxes": boxes,
    "masks": masks,
    "series": series,
    "texts": texts,
}
