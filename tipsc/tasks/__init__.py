"""What a model is trained for and judged by: one file a task."""

from tipsc.quality import Quality
from tipsc.tasks.classification import Classification
from tipsc.tasks.task import Tally, Task

TASKS = {
    "classification": "tipsc.tasks.classification:Classification",
    "multi-label": "tipsc.tasks.multilabel:MultiLabel",
    "regression": "tipsc.tasks.regression:Regression",
    "segmentation": "tipsc.tasks.segmentation:Segmentation",
    "detection": "tipsc.tasks.detection:Detection",
    "keypoints": "tipsc.tasks.keypoints:Keypoints",
    "language-modelling": "tipsc.tasks.tokens:NextToken",
    "imitation": "tipsc.tasks.imitation:Imitation",
}
"""By the name in a configuration; imported where they are needed."""

__all__ = ["TASKS", "Classification", "Quality", "Tally", "Task"]
