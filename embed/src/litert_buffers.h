/* What LiteRT reads inputs from and writes outputs into, and the way there and back. */
#ifndef TIPSC_LITERT_BUFFERS_H
#define TIPSC_LITERT_BUFFERS_H

#include "litert_api.h"
#include "runtime.h"

typedef struct litert_of_path {
    LrEnvironment environment;
    LrCompiled compiled;
    LrSignature signature;
    size_t signature_index;
    const tensor *taken, *given; /* as the manifest says */
    size_t taken_count, given_count;
} litert_of_path;

typedef struct litert_buffers {
    LrBuffer *inputs, *outputs;
    size_t input_count, output_count;
    const tensor *taken, *given;
    bool borrowed; /* another path frees them */
} litert_buffers;

tipsc_code litert_buffers_make(litert_buffers *buffers, const litert *litert, const litert_of_path *path,
                               tipsc_error *error);
void litert_buffers_free(litert_buffers *buffers, const litert *litert);
/* Inputs as the .tflite takes them: channels last, int64 as int32. */
tipsc_code litert_buffers_write(const litert_buffers *buffers, const litert *litert, const tipsc_buffer *inputs,
                                tipsc_error *error);
tipsc_code litert_buffers_read(const litert_buffers *buffers, const litert *litert, const tipsc_buffer *outputs,
                               tipsc_error *error);

#endif
