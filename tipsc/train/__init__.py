"""Training a supernet: the loop, calibration of batch norm, checkpoints, quality of paths."""

from tipsc.batch import Batch, Examples
from tipsc.train.anchor import anchor
from tipsc.train.calibrate import calibrate
from tipsc.train.checkpoint import Checkpoint, restore
from tipsc.train.config import TrainConfig
from tipsc.train.data import Augment, Batches, Data, Shuffled, Split
from tipsc.train.evaluate import evaluate, quality_of
from tipsc.train.history import History, StepRecord
from tipsc.train.loop import TrainProgress, train
from tipsc.train.on_disk import OnDisk
from tipsc.train.phases import Phase
from tipsc.train.samplers import SAMPLERS, Adaptive, Learning, adaptive, sampler
from tipsc.train.scales import share_scales
from tipsc.train.unlabelled import Unlabelled
from tipsc.train.utility import Effects, Utility

__all__ = [
    "SAMPLERS",
    "Adaptive",
    "Augment",
    "Batch",
    "Batches",
    "Checkpoint",
    "Data",
    "Effects",
    "Examples",
    "History",
    "Learning",
    "Phase",
    "TrainProgress",
    "Shuffled",
    "Split",
    "StepRecord",
    "OnDisk",
    "TrainConfig",
    "Unlabelled",
    "Utility",
    "adaptive",
    "anchor",
    "calibrate",
    "evaluate",
    "quality_of",
    "restore",
    "sampler",
    "share_scales",
    "train",
]
