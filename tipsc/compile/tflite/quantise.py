"""Static int8 of one .tflite: weights per output channel, activations from calibration data.

Imported in a worker process only.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tipsc.engine.atomic import write_atomically


def quantise(float_file: Path, images: Path, file: Path) -> None:
    """Writes the int8 form of a .tflite with one signature; its input and output stay float32.

    Args:
        float_file: what :func:`tipsc.compile.tflite.convert.convert` wrote.
        images: a .npy of inputs (N, ...) as the .tflite takes them; each is run once.
    """
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import qtyping, quantizer, recipe

    interpreter = Interpreter(str(float_file), num_threads=1)
    ((signature, tensors),) = interpreter.get_signature_list().items()
    (name,) = tensors["inputs"]
    del interpreter
    inputs = np.load(images, allow_pickle=False)
    tool = quantizer.Quantizer(str(float_file), recipe.static_wi8_ai8())
    for end in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
        tool.update_quantization_recipe(
            ".*", end, algorithm_key=quantizer.AlgorithmName.NO_QUANTIZE
        )
    ranges = tool.calibrate(
        {signature: [{name: inputs[i : i + 1]} for i in range(len(inputs))]}, num_threads=1
    )
    result = tool.quantize(ranges, enable_progress_report=False)
    write_atomically(file, [bytes(result.quantized_model)])
