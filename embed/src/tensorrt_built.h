/* Plans run on what they were built for: one version of TensorRT, and one kind of GPU. */
#ifndef TIPSC_TENSORRT_BUILT_H
#define TIPSC_TENSORRT_BUILT_H

#include "runtime.h"

/* Refuses an engine without plans: it has to be finished on its device first. */
tipsc_code check_finished(const opening *opening, tipsc_error *error);

/* Refuses plans of another module ("tensorrt" or "tensorrt_rtx"), version or compute capability than these here. */
tipsc_code check_built(const opening *opening, const char *module, const char *version, const char *capability,
                       tipsc_error *error);

#endif
