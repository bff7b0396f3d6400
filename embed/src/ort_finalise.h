/* Finalise the path graphs of an engine for ONNX Runtime on this machine.
 *
 * Each portable graph is optimised and laid out for this machine's instruction set by ONNX Runtime itself,
 * which writes the result with its weights in a file of its own. The weights of all paths are then stored
 * once in one file, and the graphs point there. Python writes the same files, and each uses the other's. */
#ifndef TIPSC_ORT_FINALISE_H
#define TIPSC_ORT_FINALISE_H

#include "ort_library.h"
#include "read.h"

#define ORT_FORMAT "2" /* of what is written here, which is that of tipsc.backends.finalise */
#define BLOB "weights.bin"
#define CONSTANTS "constants.json"

/* Fills an empty folder with an .onnx for each path, the weights, and where the constants lie in them. */
tipsc_code ort_finalise(const ort *ort, const OrtEnv *env, const engine_file *file, const char *folder,
                        tipsc_error *error);

#endif
