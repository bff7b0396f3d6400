#include "runtime.h"

static tipsc_code open_runtime(const opening *opening, runtime **found, tipsc_error *error) {
    (void)opening, (void)found;
    return fail(error, TIPSC_DEVICE, NULL, "no LiteRT yet");
}

const runtime_kind LITERT_RUNTIME = {.backend = "litert", .of_tflite = true, .open = open_runtime};
