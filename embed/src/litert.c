/* LiteRT on the CPU: one .tflite, of which each path is a signature.
 *
 * It takes the form that Python finalised, if there is one; else the .tflite as it is, when that was checked
 * (tflite.h). Packed weights are shared by all paths in the first case only: LiteRT's weight cache tells weights
 * apart by where they lie, and only that form was compared with a run without it when the engine was built. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache.h"
#include "decode.h"
#include "files.h"
#include "isa.h"
#include "litert_api.h"
#include "litert_buffers.h"
#include "runtime.h"

#define LITERT_FORMAT "2" /* of what tipsc.backends.litert writes */

typedef struct litert_runtime {
    runtime base;
    litert litert;
    LrEnvironment environment;
    LrModel model;
    LrOptions options;
    LrCompiled compiled;
    const opened_path *paths;
    size_t path_count, input_count, output_count;
    size_t *signatures;      /* of each path, its place in the .tflite */
    litert_buffers *buffers; /* of each path; those of as many examples share them */
    pthread_mutex_t lock;    /* a program computes one call at a time */
    bool has_lock;
} litert_runtime;

static tipsc_code done(int status, const char *what, tipsc_error *error) {
    if (!status) return TIPSC_OK;
    return fail(error, TIPSC_DEVICE, NULL, "LiteRT refuses %s (its status is %d)", what, status);
}

/* Threads and weight cache, as LiteRT's own wrapper writes them; the library has no function for it. */
static tipsc_code cpu_options(const litert *litert, LrOptions options, uint32_t threads, const char *weights,
                              tipsc_error *error) {
    LrOpaque opaque = NULL;
    char *said = malloc(MOST_NAME + 128);
    if (!said) return no_memory(error);
    int length = snprintf(said, MOST_NAME + 128, "num_threads = %u\n", (unsigned)threads);
    if (weights) snprintf(said + length, (size_t)(MOST_NAME + 128 - length), "weight_cache_file_path = \"%s\"\n", weights);
    int status = litert->CreateOpaqueOptions("xnnpack", said, free, &opaque);
    if (status) free(said);
    TRY(done(status, "its options", error));
    return done(litert->AddOpaqueOptions(options, opaque), "its options", error);
}

/* `weights`: the file of packed weights; NULL: each path packs its own. */
static tipsc_code load(litert_runtime *runtime, const char *model, const char *weights, uint32_t threads,
                       tipsc_error *error) {
    const litert *litert = &runtime->litert;
    /* Otherwise it opens the libraries of GPUs that it finds, and writes twenty lines for each model. */
    const LrEnvironmentOption options[] = {{LR_AUTO_REGISTER, {LR_INTEGER, LR_CPU}},
                                           {LR_LOG_SEVERITY, {LR_INTEGER, LR_LOG_ERRORS}}};
    TRY(done(litert->CreateEnvironment(2, options, &runtime->environment), "to start", error));
    TRY(done(litert->CreateModelFromFile(runtime->environment, model, &runtime->model), "the model", error));
    TRY(done(litert->CreateOptions(&runtime->options), "its options", error));
    TRY(done(litert->SetOptionsHardwareAccelerators(runtime->options, LR_CPU), "its options", error));
    TRY(cpu_options(litert, runtime->options, threads, weights, error));
    return done(litert->CreateCompiledModel(runtime->environment, runtime->model, runtime->options, &runtime->compiled),
                "the model", error);
}

/* The form that Python made, if it is there and sound. */
static bool finalised(const opening *opening, const litert *litert, char *folder) {
    char isa[MOST_ISA], version[64];
    if (!litert->version[0]) return false;
    instruction_set(isa);
    snprintf(version, sizeof version, "ai-edge-litert %s", litert->version);
    const cache_request request = {
        .file = opening->name,
        .engine_hash = opening->file->hash,
        .named = opening->options->cache_dir,
        .key = {{{"engine", opening->file->hash},
                 {"format", LITERT_FORMAT},
                 {"instruction set", isa},
                 {"litert", version}}},
    };
    return cache_find(&request, folder);
}

static tipsc_code load_finalised(litert_runtime *runtime, const char *folder, uint32_t threads, tipsc_error *error) {
    char model[MOST_NAME], weights[MOST_NAME];
    TRY(joined(model, folder, "model.tflite", error));
    TRY(joined(weights, folder, "packed.xnnpack", error));
    if (strpbrk(weights, "\"\\\n"))
        return fail(error, TIPSC_USAGE, "name another cache_dir", "%s: LiteRT cannot be told such a name", weights);
    return load(runtime, model, weights, threads, error);
}

/* The .tflite as it is, through a file that has no name any more once it was mapped. */
static tipsc_code load_checked(litert_runtime *runtime, const opening *opening, tipsc_error *error) {
    char name[MOST_NAME];
    const engine_file *file = opening->file;
    const char *base = getenv("TMPDIR");
    if (snprintf(name, sizeof name, "%s/tipsc-XXXXXX", base && *base ? base : "/tmp") >= MOST_NAME)
        return fail(error, TIPSC_USAGE, "use a shorter one", "TMPDIR: the name is too long");
    const uint8_t *model;
    void *owned;
    TRY(checked_tflite(file, &model, &owned, error));
    int to = mkstemp(name);
    tipsc_code code = TIPSC_OK;
    if (to < 0) code = fail(error, TIPSC_USAGE, NULL, "%s: cannot be written: %s", name, strerror(errno));
    if (code == TIPSC_OK) code = write_whole(to, model, (size_t)file->weights_length, name, error);
    free(owned);
    if (to < 0) return code;
    close(to);
    if (code == TIPSC_OK) code = load(runtime, name, NULL, opening->options->threads, error);
    unlink(name);
    return code;
}

static tipsc_code load_either(litert_runtime *runtime, const opening *opening, tipsc_error *error) {
    char folder[MOST_NAME];
    const tipsc_options *options = opening->options;
    if (finalised(opening, &runtime->litert, folder)) return load_finalised(runtime, folder, options->threads, error);
    return load_checked(runtime, opening, error);
}

static tipsc_code find_signatures(litert_runtime *runtime, tipsc_error *error) {
    const litert *litert = &runtime->litert;
    size_t count = 0;
    TRY(done(litert->GetNumModelSignatures(runtime->model, &count), "the model", error));
    for (size_t i = 0; i < runtime->path_count; i++) {
        size_t at = 0, inputs = 0, outputs = 0;
        LrSignature signature = NULL;
        const char *key = NULL;
        for (; at < count; at++) {
            TRY(done(litert->GetModelSignature(runtime->model, at, &signature), "the model", error));
            TRY(done(litert->GetSignatureKey(signature, &key), "the model", error));
            if (is_text(runtime->paths[i].entry->id, key)) break;
        }
        if (at == count)
            return fail(error, TIPSC_DAMAGED, REBUILD, "the .tflite has no signature %s", runtime->paths[i].entry->id.text);
        TRY(done(litert->GetNumSignatureInputs(signature, &inputs), "the model", error));
        TRY(done(litert->GetNumSignatureOutputs(signature, &outputs), "the model", error));
        if (inputs != runtime->input_count || outputs != runtime->output_count)
            return fail(error, TIPSC_DAMAGED, REBUILD, "signature %s has other inputs or outputs than the manifest says", key);
        runtime->signatures[i] = at;
    }
    return TIPSC_OK;
}

static tipsc_code make_buffers(litert_runtime *runtime, tipsc_error *error) {
    for (size_t i = 0; i < runtime->path_count; i++) {
        const opened_path *path = &runtime->paths[i];
        const litert_buffers *same = NULL;
        for (size_t k = 0; k < i && !same; k++)
            if (runtime->paths[k].entry->batch == path->entry->batch) same = &runtime->buffers[k];
        if (same) {
            runtime->buffers[i] = *same;
            runtime->buffers[i].borrowed = true;
            continue;
        }
        LrSignature signature = NULL;
        TRY(done(runtime->litert.GetModelSignature(runtime->model, runtime->signatures[i], &signature), "the model", error));
        const litert_of_path of_path = {runtime->environment, runtime->compiled, signature, runtime->signatures[i],
                                        path->inputs, path->outputs, runtime->input_count, runtime->output_count};
        TRY(litert_buffers_make(&runtime->buffers[i], &runtime->litert, &of_path, error));
    }
    return TIPSC_OK;
}

static tipsc_code open_runtime(runtime *base, const opening *opening, tipsc_error *error) {
    litert_runtime *runtime = (litert_runtime *)base;
    runtime->paths = opening->paths;
    runtime->path_count = opening->path_count;
    runtime->input_count = opening->file->manifest.input_count;
    runtime->output_count = opening->file->manifest.output_count;
    runtime->signatures = calloc(runtime->path_count, sizeof *runtime->signatures);
    runtime->buffers = calloc(runtime->path_count, sizeof *runtime->buffers);
    runtime->has_lock = !pthread_mutex_init(&runtime->lock, NULL);
    if (!runtime->signatures || !runtime->buffers || !runtime->has_lock) return no_memory(error);
    TRY(litert_load(&runtime->litert, opening->options->runtime, error));
    TRY(load_either(runtime, opening, error));
    TRY(find_signatures(runtime, error));
    return make_buffers(runtime, error);
}

static void close_runtime(runtime *base) {
    litert_runtime *runtime = (litert_runtime *)base;
    const litert *litert = &runtime->litert;
    for (size_t i = 0; runtime->buffers && i < runtime->path_count; i++)
        litert_buffers_free(&runtime->buffers[i], litert);
    if (runtime->compiled) litert->DestroyCompiledModel(runtime->compiled);
    if (runtime->options) litert->DestroyOptions(runtime->options);
    if (runtime->model) litert->DestroyModel(runtime->model);
    if (runtime->environment) litert->DestroyEnvironment(runtime->environment);
    runtime->compiled = NULL;
    runtime->options = NULL;
    runtime->model = NULL;
    runtime->environment = NULL;
}

static void free_runtime(runtime *base) {
    litert_runtime *runtime = (litert_runtime *)base;
    close_runtime(base);
    if (runtime->has_lock) pthread_mutex_destroy(&runtime->lock);
    free(runtime->signatures);
    free(runtime->buffers);
}

/* Buffers are the program's: a context keeps nothing. */
static tipsc_code bind(runtime *base, size_t path, void **found, tipsc_error *error) {
    (void)path, (void)error;
    *found = base;
    return TIPSC_OK;
}

static void unbind(runtime *base, void *binding) { (void)base, (void)binding; }

static tipsc_code run(runtime *base, size_t path, void *binding, const tipsc_buffer *inputs,
                      const tipsc_buffer *outputs, tipsc_error *error) {
    litert_runtime *runtime = (litert_runtime *)base;
    litert_buffers *buffers = &runtime->buffers[path];
    (void)binding;
    pthread_mutex_lock(&runtime->lock);
    tipsc_code code = litert_buffers_write(buffers, &runtime->litert, inputs, error);
    if (code == TIPSC_OK)
        code = done(runtime->litert.RunCompiledModel(runtime->compiled, runtime->signatures[path], buffers->input_count,
                                                     buffers->inputs, buffers->output_count, buffers->outputs),
                    runtime->paths[path].entry->id.text, error);
    if (code == TIPSC_OK) code = litert_buffers_read(buffers, &runtime->litert, outputs, error);
    pthread_mutex_unlock(&runtime->lock);
    return code;
}

const runtime_kind LITERT_RUNTIME = {
    .backend = "litert",
    .of_tflite = true,
    .bytes = sizeof(litert_runtime),
    .open = open_runtime,
    .close = close_runtime,
    .free = free_runtime,
    .bind = bind,
    .unbind = unbind,
    .run = run,
};
