"""Which language a word is from: letters as tokens, from Debian's dictionaries.

``apt-get install wamerican wngerman wfrench witalian wspanish wdutch wportuguese wpolish``
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import numpy as np
import torch

from tipsc.errors import DataError
from tipsc.tasks import Classification
from tipsc.train import Data, Split

FOLDER = Path("/usr/share/dict")
FILES = (
    "american-english", "ngerman", "french", "italian", "spanish", "dutch", "portuguese", "polish",
)  # fmt: skip
LENGTH, SHORTEST = 16, 5
LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = len(LETTERS) + 1  # 0 is the end
PER_LANGUAGE = 8000
_WORD = re.compile(rf"^[{LETTERS}]{{{SHORTEST},{LENGTH}}}$", re.MULTILINE)


def load() -> Data:
    """Words of 5 to 16 letters without accents (they would give the language away)."""
    inputs, targets = [], []
    generator = np.random.default_rng(0)
    for label, name in enumerate(FILES):
        words = sorted(_words(FOLDER / name))
        for index in generator.permutation(len(words))[:PER_LANGUAGE]:
            word = words[index]
            inputs.append([LETTERS.index(c) + 1 for c in word] + [0] * (LENGTH - len(word)))
            targets.append(label)
    x, y = torch.tensor(inputs), torch.tensor(targets)
    order = torch.from_numpy(generator.permutation(len(x)))
    x, y = x[order], y[order]
    a, b = len(x) * 8 // 10, len(x) * 9 // 10
    return Data(
        train=Split(x[:a], y[:a]),
        validation=Split(x[a:b], y[a:b]),
        test=Split(x[b:], y[b:]),
        task=Classification(FILES),
    )


def _words(file: Path) -> set[str]:
    if not file.is_file():
        raise DataError(f"there is no dictionary {file}", fix=__doc__.strip().splitlines()[-1])
    # The whole text at once: Polish alone has millions of word forms.
    text = unicodedata.normalize("NFKD", file.read_text(encoding="utf-8", errors="ignore"))
    for accent in filter(unicodedata.combining, set(text)):
        text = text.replace(accent, "")
    return set(_WORD.findall(text.lower()))
