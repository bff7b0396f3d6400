/* Inputs and outputs in the memory of the device: all paths use them in turn. */
#ifndef TIPSC_TENSORRT_TENSOR_H
#define TIPSC_TENSORRT_TENSOR_H

#include "runtime.h"
#include "tensorrt_cuda.h"

typedef struct device_tensor {
    const tensor_spec *spec;
    uint64_t bytes; /* of the path that takes most examples */
    void *memory;
    bool narrow;      /* int32 in the plans: TensorRT before 10 has no int64 */
    int32_t *between; /* then where it is converted */
} device_tensor;

/* Takes memory for what `spec`, `bytes` and `narrow` say. */
tipsc_code tensor_make(device_tensor *tensor, const cuda *cuda, tipsc_error *error);
void tensor_free(device_tensor *tensor, const cuda *cuda);

/* Puts a copy to the device into the stream; `data` must stay until the stream is done. */
tipsc_code tensor_send(device_tensor *tensor, const cuda *cuda, void *stream, const tipsc_buffer *data,
                       tipsc_error *error);
/* Puts a copy from the device into the stream; when that is done, tensor_take fills `data`. */
tipsc_code tensor_receive(device_tensor *tensor, const cuda *cuda, void *stream, const tipsc_buffer *data,
                          tipsc_error *error);
void tensor_take(const device_tensor *tensor, const tipsc_buffer *data);

#endif
