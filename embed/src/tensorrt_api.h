/* TensorRT, which is C++, as plain C functions: libnvinfer is loaded when an engine needs it.
 *
 * Nothing is thrown; what TensorRT writes into its log of errors becomes part of the error's text. */
#ifndef TIPSC_TENSORRT_API_H
#define TIPSC_TENSORRT_API_H

#include <stdbool.h>

#include "error.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FINISH_AGAIN "run tipsc finish again: plans fit one version and one kind of device"

typedef struct trt trt;                 /* the library, and a runtime of it */
typedef struct trt_plan trt_plan;       /* a plan that is loaded */
typedef struct trt_context trt_context; /* an execution of a plan */

/* Loads the library, and starts nothing. `file` may be NULL: then it is the version of the headers. */
tipsc_code trt_open(const char *file, trt **opened, tipsc_error *error);
void trt_close(trt *trt);
/* "tensorrt" or "tensorrt_rtx", as Python's module of it is called. */
const char *trt_module(void);
/* As "10.3.0" or "10.3.0.30", of the library that was loaded. */
const char *trt_version(const trt *trt);
/* What plans are loaded by; needs a device. */
tipsc_code trt_start(trt *trt, tipsc_error *error);

/* `name` is for errors. The bytes may go afterwards. */
tipsc_code trt_plan_load(trt *trt, const void *plan, size_t bytes, const char *name, trt_plan **loaded,
                         tipsc_error *error);
void trt_plan_free(trt_plan *plan);
/* Gives a plan without weights those of an ONNX file, and of what that file names. */
tipsc_code trt_plan_refit(trt *trt, trt_plan *plan, const char *file, const char *name, tipsc_error *error);
/* Bytes of activations that an execution needs. */
int64_t trt_plan_memory(const trt_plan *plan);
/* A tipsc_dtype; 0 if it is none of them. */
int trt_plan_dtype(const trt_plan *plan, const char *tensor);
bool trt_plan_on_host(const trt_plan *plan, const char *tensor);

/* An execution that keeps its activations in `memory`, as many bytes as any plan of the engine needs. */
tipsc_code trt_context_make(trt_plan *plan, void *memory, int64_t bytes, const char *name, trt_context **made,
                            tipsc_error *error);
void trt_context_free(trt_context *context);
/* Where a tensor is. `elements`: how many it must have. */
tipsc_code trt_context_bind(trt_context *context, const char *tensor, void *address, uint64_t elements,
                            const char *name, tipsc_error *error);
/* Puts a run into the stream. */
tipsc_code trt_context_enqueue(trt_context *context, void *stream, const char *name, tipsc_error *error);

#ifdef __cplusplus
}
#endif

#endif
