"""Static int8 of one .tflite: weights per output channel, activations from calibration data.

Imported in a worker process only.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from tipsc.compile.tflite.unbounded import unbounded
from tipsc.engine.atomic import write_atomically
from tipsc.filled import filled


def quantise(float_file: Path, images: Path, file: Path, batch: int) -> None:
    """Writes the int8 form of a .tflite with one signature; inputs and outputs stay as they are.

    Args:
        float_file: what :func:`tipsc.compile.tflite.convert.convert` wrote.
        images: one .npy after the other of inputs (N, ...) as the .tflite takes them, in the order
            of its arguments; each example is run once.
        batch: how many examples the model takes at once.
    """
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import calibrator, qtyping, quantizer, recipe, recipe_manager
    from ai_edge_quantizer.utils import qsv_utils

    interpreter = Interpreter(str(float_file), num_threads=1)
    ((signature, tensors),) = interpreter.get_signature_list().items()
    names = sorted(tensors["inputs"], key=lambda name: int(name.rpartition("_")[2]))  # args_0, ...
    del interpreter
    with images.open("rb") as stream:
        inputs = [np.load(stream, allow_pickle=False) for _ in names]
    tool = quantizer.Quantizer(str(float_file), recipe.static_wi8_ai8())
    for end in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
        tool.update_quantization_recipe(
            ".*", end, algorithm_key=quantizer.AlgorithmName.NO_QUANTIZE
        )
    for name in unbounded(float_file.read_bytes()):
        tool.update_quantization_recipe(
            f"^{re.escape(name)};?$",
            qtyping.TFLOperationName.ALL_SUPPORTED,
            algorithm_key=quantizer.AlgorithmName.NO_QUANTIZE,
        )
    examples = [dict(zip(names, arrays, strict=True)) for arrays in filled(inputs, batch)]
    # The tool's own calibration takes a running mean of each example's range, which cuts off what
    # is rarely large.
    recipes = recipe_manager.RecipeManager()
    recipes.load_quantization_recipe(tool.get_quantization_recipe())
    seen = calibrator.Calibrator(
        str(float_file), num_threads=1, qsv_update_func=qsv_utils.min_max_update
    )
    seen.calibrate({signature: examples}, recipes)
    result = tool.quantize(seen.get_model_qsvs(), enable_progress_report=False)
    write_atomically(file, [bytes(result.quantized_model)])
