#include "tensorrt_tensor.h"

#include <stdlib.h>

tipsc_code tensor_make(device_tensor *tensor, const cuda *cuda, tipsc_error *error) {
    if (tensor->narrow) {
        tensor->bytes /= 2;
        tensor->between = malloc((size_t)tensor->bytes + 1);
        if (!tensor->between) return no_memory(error);
    }
    if (!tensor->bytes) return TIPSC_OK;
    return cuda_done(cuda, cuda->Malloc(&tensor->memory, (size_t)tensor->bytes), "cudaMalloc", error);
}

void tensor_free(device_tensor *tensor, const cuda *cuda) {
    if (tensor->memory) cuda->Free(tensor->memory);
    free(tensor->between);
    tensor->memory = NULL;
    tensor->between = NULL;
}

tipsc_code tensor_send(device_tensor *tensor, const cuda *cuda, void *stream, const tipsc_buffer *data,
                       tipsc_error *error) {
    const void *from = data->data;
    size_t bytes = data->bytes;
    if (tensor->narrow) {
        const int64_t *wide = from;
        bytes /= 2;
        for (size_t i = 0; i < bytes / sizeof *tensor->between; i++)
            tensor->between[i] = (int32_t)(uint32_t)(uint64_t)wide[i]; /* as numpy does */
        from = tensor->between;
    }
    return cuda_done(cuda, cuda->MemcpyAsync(tensor->memory, from, bytes, CUDA_TO_DEVICE, stream), "cudaMemcpyAsync", error);
}

tipsc_code tensor_receive(device_tensor *tensor, const cuda *cuda, void *stream, const tipsc_buffer *data,
                          tipsc_error *error) {
    void *to = tensor->narrow ? (void *)tensor->between : data->data;
    size_t bytes = tensor->narrow ? data->bytes / 2 : data->bytes;
    return cuda_done(cuda, cuda->MemcpyAsync(to, tensor->memory, bytes, CUDA_TO_HOST, stream), "cudaMemcpyAsync", error);
}

void tensor_take(const device_tensor *tensor, const tipsc_buffer *data) {
    int64_t *wide = data->data;
    for (size_t i = 0; tensor->narrow && i < data->bytes / sizeof *wide; i++) wide[i] = tensor->between[i];
}
