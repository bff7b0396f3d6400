#include "litert_buffers.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_AXES = 6 }; /* of a tensor in a .tflite */

static tipsc_code done(int status, const tensor *tensor, tipsc_error *error) {
    if (!status) return TIPSC_OK;
    return fail(error, TIPSC_DEVICE, NULL, "LiteRT refuses %.60s (its status is %d)", tensor->spec->name.text, status);
}

static uint64_t bytes_there(const tensor *tensor, bool taken) {
    return taken && tensor->spec->dtype == TIPSC_INT64 ? tensor->bytes / 2 : tensor->bytes;
}

static tipsc_code make(const litert *litert, const litert_of_path *path, size_t index, bool taken, LrBuffer *buffer,
                       tipsc_error *error) {
    const tensor *tensor = taken ? &path->taken[index] : &path->given[index];
    LrTensor there = NULL;
    LrType type;
    LrRequirements needs = NULL;
    size_t bytes = 0;
    if (tensor->spec->rank > MOST_AXES)
        return fail(error, TIPSC_DAMAGED, REBUILD, "%.60s has more than 6 axes", tensor->spec->name.text);
    TRY(done(taken ? litert->GetSignatureInputTensorByIndex(path->signature, index, &there)
                   : litert->GetSignatureOutputTensorByIndex(path->signature, index, &there), tensor, error));
    TRY(done(litert->GetRankedTensorType(there, &type), tensor, error));
    TRY(done(taken ? litert->GetCompiledModelInputBufferRequirements(path->compiled, path->signature_index, index, &needs)
                   : litert->GetCompiledModelOutputBufferRequirements(path->compiled, path->signature_index, index, &needs),
             tensor, error));
    TRY(done(litert->CreateManagedTensorBufferFromRequirements(path->environment, &type, needs, buffer), tensor, error));
    TRY(done(litert->GetTensorBufferPackedSize(*buffer, &bytes), tensor, error));
    if (bytes != bytes_there(tensor, taken))
        return fail(error, TIPSC_DAMAGED, REBUILD, "%.60s has another size in the .tflite than the manifest says",
                    tensor->spec->name.text);
    return TIPSC_OK;
}

tipsc_code litert_buffers_make(litert_buffers *buffers, const litert *litert, const litert_of_path *path,
                               tipsc_error *error) {
    *buffers = (litert_buffers){.input_count = path->taken_count, .output_count = path->given_count,
                                .taken = path->taken, .given = path->given};
    buffers->inputs = calloc(path->taken_count, sizeof *buffers->inputs);
    buffers->outputs = calloc(path->given_count, sizeof *buffers->outputs);
    if (!buffers->inputs || !buffers->outputs) return no_memory(error);
    for (size_t i = 0; i < path->taken_count; i++) TRY(make(litert, path, i, true, &buffers->inputs[i], error));
    for (size_t i = 0; i < path->given_count; i++) TRY(make(litert, path, i, false, &buffers->outputs[i], error));
    return TIPSC_OK;
}

void litert_buffers_free(litert_buffers *buffers, const litert *litert) {
    for (size_t i = 0; !buffers->borrowed && buffers->inputs && i < buffers->input_count; i++)
        if (buffers->inputs[i]) litert->DestroyTensorBuffer(buffers->inputs[i]);
    for (size_t i = 0; !buffers->borrowed && buffers->outputs && i < buffers->output_count; i++)
        if (buffers->outputs[i]) litert->DestroyTensorBuffer(buffers->outputs[i]);
    if (!buffers->borrowed) {
        free(buffers->inputs);
        free(buffers->outputs);
    }
    *buffers = (litert_buffers){.borrowed = true};
}

/* One element, an int64 as an int32: what a .tflite has for indices. */
static void copy_element(void *to, const void *from, size_t width, bool narrow) {
    if (narrow) {
        int64_t value;
        memcpy(&value, from, sizeof value);
        uint32_t low = (uint32_t)value;
        memcpy(to, &low, sizeof low);
    } else {
        memcpy(to, from, width);
    }
}

/* As the .tflite takes it: the axis of the channels is the last one, the others keep their order. */
static void rearrange(void *to, const void *from, const tensor *tensor) {
    const tensor_spec *spec = tensor->spec;
    const char *letter = strchr(spec->layout, 'C');
    size_t width = element_bytes(spec->dtype), at = letter ? (size_t)(letter - spec->layout) : spec->rank;
    bool narrow = spec->dtype == TIPSC_INT64;
    uint64_t before = 1, channels = 1, behind = 1;
    for (size_t axis = 0; axis < spec->rank; axis++)
        *(axis < at ? &before : axis == at ? &channels : &behind) *= (uint64_t)tensor->shape[axis];
    if (!narrow && (channels == 1 || behind == 1)) {
        memcpy(to, from, (size_t)tensor->bytes);
        return;
    }
    char *out = to;
    for (uint64_t i = 0; i < before; i++)
        for (uint64_t k = 0; k < behind; k++)
            for (uint64_t c = 0; c < channels; c++) {
                const char *in = (const char *)from + ((i * channels + c) * behind + k) * width;
                copy_element(out, in, width, narrow);
                out += narrow ? 4 : width;
            }
}

tipsc_code litert_buffers_write(const litert_buffers *buffers, const litert *litert, const tipsc_buffer *inputs,
                                tipsc_error *error) {
    for (size_t i = 0; i < buffers->input_count; i++) {
        void *memory = NULL;
        TRY(done(litert->LockTensorBuffer(buffers->inputs[i], &memory, LR_WRITE), &buffers->taken[i], error));
        rearrange(memory, inputs[i].data, &buffers->taken[i]);
        TRY(done(litert->UnlockTensorBuffer(buffers->inputs[i]), &buffers->taken[i], error));
    }
    return TIPSC_OK;
}

tipsc_code litert_buffers_read(const litert_buffers *buffers, const litert *litert, const tipsc_buffer *outputs,
                               tipsc_error *error) {
    for (size_t i = 0; i < buffers->output_count; i++) {
        void *memory = NULL;
        TRY(done(litert->LockTensorBuffer(buffers->outputs[i], &memory, LR_READ), &buffers->given[i], error));
        memcpy(outputs[i].data, memory, outputs[i].bytes);
        TRY(done(litert->UnlockTensorBuffer(buffers->outputs[i]), &buffers->given[i], error));
    }
    return TIPSC_OK;
}
