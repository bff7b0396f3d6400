/* CUDA's runtime, loaded when an engine needs it: memory and a stream, which is what running plans takes.
 *
 * Functions as in the manual of CUDA's runtime API; none of its headers is needed. */
#ifndef TIPSC_TENSORRT_CUDA_H
#define TIPSC_TENSORRT_CUDA_H

#include "error.h"

/* All return an error code, 0 for none. */
#define CUDA_FUNCTIONS(take)                                                        \
    take(GetDeviceCount, (int *count))                                              \
    take(DeviceGetAttribute, (int *value, int attribute, int device))               \
    take(Malloc, (void **memory, size_t bytes))                                     \
    take(Free, (void *memory))                                                      \
    take(MemcpyAsync, (void *to, const void *from, size_t bytes, int kind, void *stream)) \
    take(StreamCreate, (void **stream))                                             \
    take(StreamSynchronize, (void *stream))                                         \
    take(StreamDestroy, (void *stream))

enum { CUDA_TO_DEVICE = 1, CUDA_TO_HOST = 2, CUDA_ALIGNMENT = 256 /* bytes, of what Malloc gives */ };

typedef struct cuda {
#define CUDA_MEMBER(name, arguments) int (*name) arguments;
    CUDA_FUNCTIONS(CUDA_MEMBER)
#undef CUDA_MEMBER
    const char *(*GetErrorString)(int code);
} cuda;

/* The system's CUDA runtime, with a device to run on: the one that TensorRT has loaded already, if it did. */
tipsc_code cuda_load(cuda *cuda, tipsc_error *error);
/* The error of a code that a function gave. */
tipsc_code cuda_done(const cuda *cuda, int code, const char *function, tipsc_error *error);
/* Of the first device, as "8.7", in 16 bytes. */
tipsc_code cuda_capability(const cuda *cuda, char *text, tipsc_error *error);

#endif
