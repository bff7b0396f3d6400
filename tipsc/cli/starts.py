"""The files of a project to start from: of each task a plain model and data, and families.

A project is put together of templates: what all tasks share lies in ``templates/project``, what one
has for itself in ``templates/tasks``; ``{{name}}`` in them is replaced by the piece of that name.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from tipsc.errors import UsageError
from tipsc.project.defaults import EPOCHS_TRAINED

DATA = "data.npz"
SAMPLE_MODEL, SAMPLE_DATA = "model.py:load", "data.py:load"
#: what is the same text in YAML without quotes: no number, and none of its words
_PLAIN = re.compile(r"(?!(?:true|false|null|yes|no|on|off|y|n)$)[a-z_.][\w./:-]*", re.IGNORECASE)
_IMAGES = """\
  # resolutions: [160, 192, 224]   # of square images, for a fully convolutional model
  # exits: true                 # paths may end early, after a stage of blocks"""


@dataclass(frozen=True)
class Start:
    """A task to start with.

    Attributes:
        about: a line for those who choose.
        sample: what the sample data are.
        data: of :data:`tipsc.cli.samples.SAMPLES`; None: a file among the templates.
        read: the task whose way to read a file this one has, too.
        net: pieces that make the sample net.
        task: what ``data.py`` imports and gives for a task; "" for none.
        epochs: of the sample net's training.
        batch: examples of a step.
        axis: what the inputs are standardised by; "" where they are no numbers to be standardised.
        torch: what ``model.py`` imports beside ``torch``.
        loss: what the sample net is trained by.
        split: how some rows become a part of the data.
        convert: lines of the configuration's section.
        train: likewise.
        unit: what one may lose: 0.01 of the metric.
    """

    about: str
    sample: str
    data: str | None
    read: str
    net: tuple[str, ...]
    task: tuple[str, str] = ("from tipsc.tasks import Classification", "Classification(classes)")
    epochs: int = 12
    batch: int = 64
    axis: str = "channel"
    torch: str = "from torch import Tensor, nn"
    loss: str = "data.judged_by.loss"
    split: str = "return Split(torch.from_numpy(inputs[rows]), torch.from_numpy(targets[rows]))"
    convert: str = ""
    train: str = "  # learning_rate: 0.005        # the peak of the schedule"
    unit: str = "1 point"


_CLASSES = """\
  learning_rate: 0.005          # the peak of the schedule
  frozen_epochs: 3              # the last ones, with scales that all paths share"""

#: of a model of one's own
_FOUND = (
    "  # learning_rate: 0.005        # the peak of the schedule; without it a short test finds it"
)

#: of a model that gives maps or boxes
_AVERAGE = "\n  average: 0.99                 # ships averaged weights: maps and boxes gain by it"
_OF_PLACES = ("segmentation", "detection")

STARTS: Mapping[str, Start] = {
    "classification": Start(
        about="one class for each image",
        sample="1,797 handwritten digits (E. Alpaydin, C. Kaynak,\nUCI repository, CC BY 4.0)",
        data=None,
        read="classification",
        net=("tasks/classification/net", "project/blocks"),
        convert=_IMAGES,
        train=_CLASSES,
    ),
    "regression": Start(
        about="numbers to be predicted",
        sample="made-up numbers",
        data="numbers",
        read="regression",
        net=("tasks/regression/net",),
        task=("from tipsc.tasks.regression import Regression", "Regression()"),
        axis="feature",
    ),
    "detection": Start(
        about="boxes in images",
        sample="drawn squares and discs",
        data="boxes",
        read="detection",
        net=("tasks/detection/net", "project/blocks"),
        task=("from tipsc.tasks.detection import Detection", "Detection(classes)"),
        epochs=24,
        batch=32,
        torch="from torch import Tensor, nn\nfrom torch.nn import functional as F",
        split="wanted = {name: torch.from_numpy(part[rows]) for name, part in targets.items()}\n"
        "        return Split(torch.from_numpy(inputs[rows]), wanted)",
    ),
    "segmentation": Start(
        about="a class for each pixel",
        sample="drawn squares and discs",
        data="masks",
        read="segmentation",
        net=("tasks/segmentation/net", "project/blocks"),
        task=("from tipsc.tasks.segmentation import Segmentation", "Segmentation(classes)"),
        batch=32,
        torch="from torch import Tensor, nn\nfrom torch.nn import functional as F",
    ),
    "text": Start(
        about="one class for each text",
        sample="made-up orders to a home",
        data="texts",
        read="text",
        net=("tasks/text/net",),
        axis="",
    ),
    "series": Start(
        about="one class for each series: sensors, audio",
        sample="a made-up accelerometer",
        data="series",
        read="classification",
        net=("tasks/series/net",),
        train=_CLASSES,
    ),
    "own": Start(
        about="a loss and a metric of your own",
        sample="made-up numbers",
        data="numbers",
        read="regression",
        net=("tasks/regression/net",),
        task=("", ""),
        axis="feature",
        torch="from task import TooLittle\nfrom torch import Tensor, nn",
        loss="TooLittle().loss",
        unit="0.01 of the metric",
    ),
}

#: supernets of tipsc, and whose sample data they learn from
FAMILIES = {"mobilenet": "classification", "transformer": "classification", "temporal": "series"}


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    Attributes:
        task: of :data:`STARTS`.
        family: of :data:`FAMILIES`, in place of a plain model; its task is `task` then.
        model: a callable or an ONNX file, as the configuration has it; None: a sample net.
        data: a callable, or a .npz file; None: sample data.
        target: what the project is built for.
        name: of the engine.
    """

    task: str = "classification"
    family: str | None = None
    model: str | None = None
    data: str | None = None
    target: str = "host"
    name: str = "my_model"

    @property
    def to_target(self) -> str:
        """The option of commands that build it."""
        return "" if self.target == "host" else f" --target {shlex.quote(self.target)}"


def check_together(model: str | None, data: str | None) -> None:
    """A sample net cannot be made for data that come from a function.

    Raises:
        UsageError: that is what is asked for.
    """
    if model is None and data is not None and not data.endswith(".npz"):
        raise UsageError(
            "the sample model does not know these data",
            where=data,
            fix="give a model of your own as well (--model), or the data as an .npz file",
        )


def files_of(wanted: Wanted) -> dict[str, bytes]:
    """The files of a project by their names; ``tipsc.yaml`` is the last."""
    start, texts = STARTS[wanted.task], {}
    if wanted.data is None or wanted.data.endswith(".npz"):
        texts["data.py"] = _data(wanted)
    if wanted.model is None and wanted.family is None:
        texts["model.py"] = _filled(
            "project/model.py.txt",
            imports=start.torch,
            epochs=start.epochs,
            batch=start.batch,
            loss=start.loss,
            net="\n\n\n".join(_piece(f"{piece}.py.txt") for piece in start.net),
        )
    if wanted.task == "own":
        texts["task.py"] = _filled("tasks/own/task.py.txt")
    texts["tipsc.yaml"] = _settings(wanted)
    sample = {DATA: _sample(wanted.task)} if wanted.data is None else {}
    return {**sample, **{name: text.encode() for name, text in texts.items()}}


def _sample(task: str) -> bytes:
    made_by = STARTS[task].data
    if made_by is None:
        return (_templates() / "tasks" / task / DATA).read_bytes()
    from tipsc.cli.samples import sample_of

    return sample_of(made_by)


def _data(wanted: Wanted) -> str:
    task, given = wanted.task, wanted.data
    start = STARTS[task]
    imports, made = start.task
    written = "series" if task == "series" else start.read
    return _filled(
        "project/data.py.txt",
        sample="" if given else f"Until you replace it, that file has {start.sample}.\n",
        written=_piece(f"tasks/{written}/written.txt"),
        imports=imports,
        read=_piece(f"tasks/{start.read}/read.py.txt"),
        file=json.dumps(given or DATA),
        prepared=_prepared(wanted),
        prepare=_prepare(wanted),
        three="inputs, targets, classes" if "classes" in made else "inputs, targets",
        split=start.split,
        task=f", {made}" if made else "",
    )


def _prepared(wanted: Wanted) -> str:
    if wanted.model is not None:
        return ", inputs as the model takes them"
    return ", inputs standardised" if STARTS[wanted.task].axis else ""


def _prepare(wanted: Wanted) -> str:
    """What is done to inputs: a model of one's own was trained with a preparation of its own."""
    axis = STARTS[wanted.task].axis
    if not axis:
        return ""
    name = "standardise" if wanted.model is None else "as_they_are"
    return _filled(f"project/{name}.py.txt", **({"axis": axis} if wanted.model is None else {}))


def _settings(wanted: Wanted) -> str:
    start, build = STARTS[wanted.task], f"tipsc build .{wanted.to_target}"
    data = wanted.data or DATA
    is_file = data.endswith(".npz")
    source = f"callable: {SAMPLE_DATA if is_file else _quoted(data)}"
    if is_file:
        source += "        # returns tipsc.train.Data; without labels tipsc.train.Unlabelled\n"
        source += f"  arguments: {{file: {_quoted(data)}}}"
    if wanted.family is not None:
        return _filled(
            f"family/{wanted.family}.yaml", build=build, name=_quoted(wanted.name), data=source
        )
    model = wanted.model or SAMPLE_MODEL
    kind = "onnx" if model.endswith(".onnx") else "callable"
    return _filled(
        "project/tipsc.yaml",
        build=build,
        name=_quoted(wanted.name),
        model=f"{kind}: {_quoted(model)}       # a plain, trained nn.Module",
        widths="[0.5, 0.75, 1.0]     " if wanted.model is None else "[0.25, 0.5, 0.75, 1.0]",
        convert=start.convert,
        data=source,
        task='task: {callable: "task.py:TooLittle"}\n' if wanted.task == "own" else "",
        epochs=start.epochs if wanted.model is None else EPOCHS_TRAINED,
        batch=start.batch,
        train=start.train if wanted.model is None else _found(wanted.task),
        unit=start.unit,
    )


def _found(task: str) -> str:
    """Settings of the training of a model of one's own."""
    return _FOUND + (_AVERAGE if task in _OF_PLACES else "")


def _quoted(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


def _templates() -> resources.abc.Traversable:
    return resources.files("tipsc.cli") / "templates"


def _piece(name: str) -> str:
    return _templates().joinpath(*name.split("/")).read_text(encoding="utf-8").rstrip("\n")


def _filled(template: str, **pieces: object) -> str:
    """A template with its pieces; a line of its own that stays empty is left out."""
    text = _templates().joinpath(*template.split("/")).read_text(encoding="utf-8")
    for name, piece in pieces.items():
        if str(piece) == "":
            text = text.replace(f"{{{{{name}}}}}\n", "")
        text = text.replace(f"{{{{{name}}}}}", str(piece))
    return text
