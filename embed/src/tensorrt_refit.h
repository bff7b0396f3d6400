/* Stripped plans: weights put back from the engine's own graphs when it is opened. */
#ifndef TIPSC_TENSORRT_REFIT_H
#define TIPSC_TENSORRT_REFIT_H

#include "read.h"
#include "tensorrt_api.h"

/* The files that TensorRT reads: a graph, and the weights beside it. */
typedef struct refit {
    char folder[4096]; /* empty: nothing was written yet */
} refit;

/* Gives a loaded plan of one path the weights of that path. */
tipsc_code refit_plan(refit *refit, trt *trt, trt_plan *loaded, const plan *plan, const engine_file *file,
                      tipsc_error *error);
/* Removes the files. */
void refit_end(refit *refit);

#endif
