"""Makes data.npz: the first 1,000 training and 200 test images of each class of Fashion-MNIST.

Usage: python make_subset.py FOLDER_WITH_IDX_FILES   (Debian: package dataset-fashion-mnist)
"""

import sys
from pathlib import Path

import numpy as np
from data import HERE, SUBSET, read_idx


def first_of_each_class(
    images: np.ndarray, labels: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """The first `count` of each class, in the set's order."""
    rows = np.sort(np.concatenate([np.flatnonzero(labels == c)[:count] for c in range(10)]))
    return images[rows], labels[rows]


if __name__ == "__main__":
    train, test = read_idx(Path(sys.argv[1]))
    arrays = {}
    for name, (images, labels), count in (("train", train, 1000), ("test", test, 200)):
        chosen = first_of_each_class(images, labels, count)
        arrays[f"{name}_images"], arrays[f"{name}_labels"] = chosen
    np.savez_compressed(HERE / SUBSET, **arrays)
