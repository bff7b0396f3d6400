"""Defaults of `train` that depend on the model; without torch, so that ``tipsc init`` writes them.

Where they come from: docs/learning.md.
"""

from __future__ import annotations

#: `train.narrow` where the configuration does not say: of a model that was trained, and of another
NARROW_TRAINED, NARROW_UNTRAINED = 1.0, 0.5
#: `train.epochs` where nothing but the paths that ship is trained, and the configuration does not
#: say: a step is one path's, so this takes the compute of some ten epochs of the largest
#: (docs/learning.md, "As a user builds it")
EPOCHS_TRAINED = 24
