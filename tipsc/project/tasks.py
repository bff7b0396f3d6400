"""The task that a configuration names: one of tipsc, or a callable of the user's."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from tipsc.errors import ConfigError, near
from tipsc.project.callables import call
from tipsc.project.config import TaskSource
from tipsc.strict.arguments import check_arguments
from tipsc.strict.strict_yaml import as_tuples
from tipsc.tasks import TASKS, Task
from tipsc.tasks.own import own_task


def task_of(source: TaskSource, folder: Path) -> Task:
    """The task.

    Raises:
        ConfigError: there is no such task, or it does not take the arguments, or lacks something.
        MissingExtraError: what its metric comes from is not installed.
    """
    if source.callable is not None:
        made = call(source.callable, source.arguments, folder, "task", (object,))
        return own_task(made, "task.callable")
    assert source.name is not None
    if source.name not in TASKS:
        raise ConfigError(
            f"no task is called {source.name!r}",
            where="task",
            expected=f"one of {', '.join(TASKS)}",
            fix=near(source.name, TASKS),
        )
    module, _, name = TASKS[source.name].partition(":")
    make: Any = getattr(import_module(module), name)
    check_arguments(make, source.arguments, "task.arguments")
    task: Task = make(**as_tuples(source.arguments))
    return task
