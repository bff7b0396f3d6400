"""What a model is trained for and judged by: one file a task."""

from tipsc.quality import Quality
from tipsc.tasks.classification import Classification
from tipsc.tasks.task import Tally, Task

__all__ = ["Classification", "Quality", "Tally", "Task"]
