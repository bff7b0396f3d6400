/* TensorRT on NVIDIA's GPUs: a plan for each path, or one for several, made on the device by `tipsc finish`.
 *
 * One stream, one memory of activations as large as the largest plan needs, one execution for each path: calls of
 * all paths follow one after the other in the stream, so that they can share it. An execution of a plan that
 * several paths share has switches, which point to a true or a false for good: a call sets nothing. Unverified on
 * hardware. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decode.h"
#include "runtime.h"
#include "tensorrt_api.h"
#include "tensorrt_built.h"
#include "tensorrt_cuda.h"
#include "tensorrt_refit.h"
#include "tensorrt_tensor.h"

typedef struct tensorrt_runtime {
    runtime base;
    cuda cuda;
    trt *trt;
    const engine_file *file;
    const opened_path *paths;
    size_t path_count, plan_count, input_count, tensor_count;
    trt_plan **plans;         /* as in the file; NULL where no path of it is open */
    trt_context **contexts;   /* of each path */
    device_tensor *tensors;   /* the inputs, then the outputs */
    void *stream;
    void *activations;
    int64_t activation_bytes;
    bool here[2];  /* a false and a true, for switches that a plan has in the memory of the host */
    char *flags;   /* the same on the device, CUDA_ALIGNMENT bytes from each other */
    pthread_mutex_t lock;
    bool has_lock;
} tensorrt_runtime;

/* The place of a path in a plan; how many there are if it is not in it. */
static size_t place_in(const plan *plan, const opened_path *path) {
    size_t place = 0;
    while (place < plan->path_count && !same_text(plan->paths[place], path->entry->id)) place++;
    return place;
}

static tipsc_code load_plan(tensorrt_runtime *runtime, size_t at, refit *refit, tipsc_error *error) {
    const engine_file *file = runtime->file;
    const plan *plan = &file->plans[at];
    const uint8_t *data;
    void *owned;
    bool wanted = false;
    for (size_t i = 0; i < runtime->path_count; i++) wanted |= place_in(plan, &runtime->paths[i]) < plan->path_count;
    if (!wanted) return TIPSC_OK;
    TRY(source_view(&file->source, plan->at, plan->length, &data, &owned, error));
    tipsc_code code = source_unchanged(&file->source, error);
    if (code == TIPSC_OK)
        code = trt_plan_load(runtime->trt, data, (size_t)plan->length, plan->paths[0].text, &runtime->plans[at], error);
    free(owned);
    TRY(code);
    if (is_text(built_of(&file->manifest, "stripped"), "yes"))
        TRY(refit_plan(refit, runtime->trt, runtime->plans[at], plan, file, error));
    int64_t bytes = trt_plan_memory(runtime->plans[at]);
    if (bytes > runtime->activation_bytes) runtime->activation_bytes = bytes;
    return TIPSC_OK;
}

static tipsc_code load_plans(tensorrt_runtime *runtime, tipsc_error *error) {
    refit refit = {{0}};
    tipsc_code code = TIPSC_OK;
    for (size_t i = 0; code == TIPSC_OK && i < runtime->plan_count; i++) code = load_plan(runtime, i, &refit, error);
    refit_end(&refit);
    return code;
}

/* Follows plans that have int32 where the engine says int64, and refuses other differences. */
static tipsc_code take_type(const tensorrt_runtime *runtime, device_tensor *tensor, tipsc_error *error) {
    bool first = true;
    for (size_t i = 0; i < runtime->plan_count; i++) {
        if (!runtime->plans[i]) continue;
        int found = trt_plan_dtype(runtime->plans[i], tensor->spec->name.text);
        bool narrow = found == TIPSC_INT32 && tensor->spec->dtype == TIPSC_INT64;
        if ((found != tensor->spec->dtype && !narrow) || (!first && narrow != tensor->narrow))
            return fail(error, TIPSC_DEVICE, FINISH_AGAIN, "%.60s has another type in the plan of path %.60s than in the engine",
                        tensor->spec->name.text, runtime->file->plans[i].paths[0].text);
        tensor->narrow = narrow;
        first = false;
    }
    return TIPSC_OK;
}

static tipsc_code make_tensors(tensorrt_runtime *runtime, tipsc_error *error) {
    for (size_t i = 0; i < runtime->tensor_count; i++) {
        device_tensor *tensor = &runtime->tensors[i];
        for (size_t k = 0; k < runtime->path_count; k++) {
            const opened_path *path = &runtime->paths[k];
            const struct tensor *here = i < runtime->input_count ? &path->inputs[i]
                                                                 : &path->outputs[i - runtime->input_count];
            tensor->spec = here->spec;
            if (here->bytes > tensor->bytes) tensor->bytes = here->bytes;
        }
        TRY(take_type(runtime, tensor, error));
        TRY(tensor_make(tensor, &runtime->cuda, error));
    }
    return TIPSC_OK;
}

static tipsc_code make_memory(tensorrt_runtime *runtime, tipsc_error *error) {
    const cuda *cuda = &runtime->cuda;
    TRY(cuda_done(cuda, cuda->StreamCreate(&runtime->stream), "cudaStreamCreate", error));
    TRY(make_tensors(runtime, error));
    if (runtime->activation_bytes > 0)
        TRY(cuda_done(cuda, cuda->Malloc(&runtime->activations, (size_t)runtime->activation_bytes), "cudaMalloc", error));
    runtime->here[1] = true;
    void *flags = NULL;
    TRY(cuda_done(cuda, cuda->Malloc(&flags, 2 * CUDA_ALIGNMENT), "cudaMalloc", error));
    runtime->flags = flags;
    for (int i = 0; i < 2; i++)
        TRY(cuda_done(cuda, cuda->MemcpyAsync(runtime->flags + i * CUDA_ALIGNMENT, &runtime->here[i], sizeof(bool),
                                              CUDA_TO_DEVICE, runtime->stream), "cudaMemcpyAsync", error));
    return cuda_done(cuda, cuda->StreamSynchronize(runtime->stream), "cudaStreamSynchronize", error);
}

/* Exactly the switch of the path's place is true; none for the last. */
static tipsc_code bind_switches(tensorrt_runtime *runtime, trt_context *context, const trt_plan *loaded,
                                const plan *plan, size_t place, tipsc_error *error) {
    for (size_t i = 0; i + 1 < plan->path_count; i++) {
        char name[32];
        bool on = i == place;
        snprintf(name, sizeof name, "runs%zu", i);
        void *flag = trt_plan_on_host(loaded, name) ? (void *)&runtime->here[on] : runtime->flags + on * CUDA_ALIGNMENT;
        TRY(trt_context_bind(context, name, flag, 1, plan->paths[place].text, error));
    }
    return TIPSC_OK;
}

static tipsc_code make_context(tensorrt_runtime *runtime, size_t path, tipsc_error *error) {
    const opened_path *opened = &runtime->paths[path];
    const char *id = opened->entry->id.text;
    size_t at = 0; /* each path is in exactly one plan: the reader saw to it */
    while (place_in(&runtime->file->plans[at], opened) == runtime->file->plans[at].path_count) at++;
    const plan *plan = &runtime->file->plans[at];
    trt_context **context = &runtime->contexts[path];
    TRY(trt_context_make(runtime->plans[at], runtime->activations, runtime->activation_bytes, id, context, error));
    for (size_t i = 0; i < runtime->tensor_count; i++) {
        const device_tensor *tensor = &runtime->tensors[i];
        const struct tensor *here = i < runtime->input_count ? &opened->inputs[i]
                                                             : &opened->outputs[i - runtime->input_count];
        TRY(trt_context_bind(*context, tensor->spec->name.text, tensor->memory,
                             here->bytes / element_bytes(tensor->spec->dtype), id, error));
    }
    return bind_switches(runtime, *context, runtime->plans[at], plan, place_in(plan, opened), error);
}

static tipsc_code put_call(tensorrt_runtime *runtime, size_t path, const tipsc_buffer *inputs,
                           const tipsc_buffer *outputs, tipsc_error *error) {
    const cuda *cuda = &runtime->cuda;
    device_tensor *given = runtime->tensors + runtime->input_count;
    for (size_t i = 0; i < runtime->input_count; i++)
        TRY(tensor_send(&runtime->tensors[i], cuda, runtime->stream, &inputs[i], error));
    TRY(trt_context_enqueue(runtime->contexts[path], runtime->stream, runtime->paths[path].entry->id.text, error));
    for (size_t i = 0; i < runtime->tensor_count - runtime->input_count; i++)
        TRY(tensor_receive(&given[i], cuda, runtime->stream, &outputs[i], error));
    return TIPSC_OK;
}

static tipsc_code run(runtime *base, size_t path, void *binding, const tipsc_buffer *inputs,
                      const tipsc_buffer *outputs, tipsc_error *error) {
    tensorrt_runtime *runtime = (tensorrt_runtime *)base;
    (void)binding;
    pthread_mutex_lock(&runtime->lock);
    tipsc_code code = put_call(runtime, path, inputs, outputs, error);
    /* Also after a failure: until then the stream may write into memory that the caller is about to free. */
    int status = runtime->cuda.StreamSynchronize(runtime->stream);
    if (code == TIPSC_OK) code = cuda_done(&runtime->cuda, status, "cudaStreamSynchronize", error);
    for (size_t i = 0; code == TIPSC_OK && i < runtime->tensor_count - runtime->input_count; i++)
        tensor_take(&runtime->tensors[runtime->input_count + i], &outputs[i]);
    pthread_mutex_unlock(&runtime->lock);
    return code;
}

/* The first call of an execution allocates and tunes: it is made here, of zeros. */
static tipsc_code warm(tensorrt_runtime *runtime, size_t path, tipsc_error *error) {
    const opened_path *opened = &runtime->paths[path];
    tipsc_buffer *buffers = calloc(runtime->tensor_count + 1, sizeof *buffers);
    tipsc_code code = buffers ? TIPSC_OK : no_memory(error);
    for (size_t i = 0; code == TIPSC_OK && i < runtime->tensor_count; i++) {
        size_t bytes = (size_t)(i < runtime->input_count ? opened->inputs[i].bytes
                                                         : opened->outputs[i - runtime->input_count].bytes);
        buffers[i] = (tipsc_buffer){calloc(1, bytes + 1), bytes};
        if (!buffers[i].data) code = no_memory(error);
    }
    if (code == TIPSC_OK) code = run(&runtime->base, path, NULL, buffers, buffers + runtime->input_count, error);
    for (size_t i = 0; buffers && i < runtime->tensor_count; i++) free(buffers[i].data);
    free(buffers);
    return code;
}

static tipsc_code open_runtime(runtime *base, const opening *opening, tipsc_error *error) {
    tensorrt_runtime *runtime = (tensorrt_runtime *)base;
    char capability[16];
    const manifest *manifest = &opening->file->manifest;
    runtime->file = opening->file;
    runtime->paths = opening->paths;
    runtime->path_count = opening->path_count;
    runtime->plan_count = opening->file->plan_count;
    runtime->input_count = manifest->input_count;
    runtime->tensor_count = manifest->input_count + manifest->output_count;
    TRY(check_finished(opening, error));
    TRY(trt_open(opening->options->runtime, &runtime->trt, error));
    TRY(cuda_load(&runtime->cuda, error));
    TRY(cuda_capability(&runtime->cuda, capability, error));
    TRY(check_built(opening, trt_module(), trt_version(runtime->trt), capability, error));
    runtime->plans = calloc(runtime->plan_count + 1, sizeof *runtime->plans);
    runtime->contexts = calloc(runtime->path_count + 1, sizeof *runtime->contexts);
    runtime->tensors = calloc(runtime->tensor_count + 1, sizeof *runtime->tensors);
    runtime->has_lock = !pthread_mutex_init(&runtime->lock, NULL);
    if (!runtime->plans || !runtime->contexts || !runtime->tensors || !runtime->has_lock) return no_memory(error);
    TRY(trt_start(runtime->trt, error));
    TRY(load_plans(runtime, error));
    TRY(make_memory(runtime, error));
    for (size_t i = 0; i < runtime->path_count; i++) TRY(make_context(runtime, i, error));
    for (size_t i = 0; i < runtime->path_count; i++) TRY(warm(runtime, i, error));
    return TIPSC_OK;
}

static void close_runtime(runtime *base) {
    tensorrt_runtime *runtime = (tensorrt_runtime *)base;
    const cuda *cuda = &runtime->cuda;
    for (size_t i = 0; runtime->contexts && i < runtime->path_count; i++) trt_context_free(runtime->contexts[i]);
    for (size_t i = 0; runtime->plans && i < runtime->plan_count; i++) trt_plan_free(runtime->plans[i]);
    for (size_t i = 0; runtime->tensors && i < runtime->tensor_count; i++) tensor_free(&runtime->tensors[i], cuda);
    if (runtime->activations) cuda->Free(runtime->activations);
    if (runtime->flags) cuda->Free(runtime->flags);
    if (runtime->stream) cuda->StreamDestroy(runtime->stream);
    trt_close(runtime->trt);
    free(runtime->contexts);
    free(runtime->plans);
    free(runtime->tensors);
    runtime->contexts = NULL;
    runtime->plans = NULL;
    runtime->tensors = NULL;
    runtime->activations = runtime->stream = NULL;
    runtime->flags = NULL;
    runtime->trt = NULL;
}

static void free_runtime(runtime *base) {
    tensorrt_runtime *runtime = (tensorrt_runtime *)base;
    close_runtime(base);
    if (runtime->has_lock) pthread_mutex_destroy(&runtime->lock);
}

/* Executions are the runtime's: a context keeps nothing. */
static tipsc_code bind(runtime *base, size_t path, void **found, tipsc_error *error) {
    (void)path, (void)error;
    *found = base;
    return TIPSC_OK;
}

static void unbind(runtime *base, void *binding) { (void)base, (void)binding; }

const runtime_kind TENSORRT_RUNTIME = {
    .backend = "tensorrt",
    .of_plans = true,
    .bytes = sizeof(tensorrt_runtime),
    .open = open_runtime,
    .close = close_runtime,
    .free = free_runtime,
    .bind = bind,
    .unbind = unbind,
    .run = run,
};
