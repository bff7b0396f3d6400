"""Draws boxes at three budgets: python app.py ENGINE IMAGE.npy OUTPUT.pgm (numpy, no torch)."""

import sys
from pathlib import Path

import numpy as np

from tipsc.runtime import Engine


def overlap(a, b):
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = np.prod(np.maximum(sides, 0))
    return shared / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared)


def kept(logits, boxes, least=0.4, most=0.6):
    """Boxes that are sure enough, and that no surer one of their class covers."""
    scores, labels, found = 1 / (1 + np.exp(-logits.max(1))), logits.argmax(1), []
    for i in np.argsort(-scores)[: np.sum(scores >= least)]:
        if all(labels[i] != labels[j] or overlap(boxes[i], boxes[j]) <= most for j in found):
            found.append(i)
    return boxes[found]


def main(engine_file, image_file, output):
    image, drawn = np.load(image_file), []  # (1, 1, H, W) float32
    with Engine.open(engine_file) as engine:
        times = [path.latency.p95_ms for path in engine.paths]
        for budget_ms in (times[0], times[len(times) // 2], times[-1]):
            path = engine.pick(budget_ms=budget_ms)
            found = engine.run(image, path=path)
            boxes = kept(found["scores"][0], found["boxes"][0])
            print(f"{budget_ms:.3f} ms: path {path.id}, boxes: {len(boxes)}")
            pixels = np.uint8(255 * (image[0, 0] - image.min()) / np.ptp(image))
            for x1, y1, x2, y2 in np.clip(boxes.round().astype(int), 0, len(pixels) - 1):
                pixels[[y1, y2], x1 : x2 + 1] = pixels[y1 : y2 + 1, [x1, x2]] = 255
            drawn.append(pixels)
    sheet = np.hstack(drawn)
    Path(output).write_bytes(b"P5 %d %d 255\n" % sheet.shape[::-1] + sheet.tobytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
