/* ONNX Runtime on the CPU, with K paths in little more memory than one.
 *
 * Sessions load graphs that were finalised once for this machine; the weights are one map of one file, which
 * all paths use at the same address and the system shares between processes; and all sessions draw their
 * activations from one arena. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache.h"
#include "files.h"
#include "isa.h"
#include "ort_finalise.h"
#include "ort_weights.h"
#include "runtime.h"

typedef struct ort_runtime {
    runtime base;
    ort ort;
    OrtEnv *env;
    OrtMemoryInfo *memory;
    ort_weights weights;
    size_t path_count, input_count, output_count;
    OrtSession **sessions; /* of each path */
    const opened_path *paths;
    const char **names; /* of inputs, then of outputs */
} ort_runtime;

/* Views of the caller's memory, kept as long as he gives the same addresses. */
typedef struct binding {
    size_t count;
    struct {
        void *data;
        OrtValue *value;
    } tensors[];
} binding;

/* Of a session that runs as finalised. */
static tipsc_code set_options(const ort *ort, OrtSessionOptions *options, uint32_t threads, const char *about,
                              tipsc_error *error) {
    static const char *const entries[][2] = {
        {"session.disable_prepacking", "1"}, /* packed weights would be a private copy for each session */
        {"session.use_env_allocators", "1"},
        {"session.intra_op.allow_spinning", "0"}, /* spinning takes a small machine's cores from the application */
    };
    TRY(ort_done(ort, ort->set_intra_threads(options, (int)threads), about, error));
    TRY(ort_done(ort, ort->set_inter_threads(options, 1), about, error));
    TRY(ort_done(ort, ort->set_log_severity(options, ORT_LOG_ERROR), about, error));
    TRY(ort_done(ort, ort->set_optimization(options, ORT_OPTIMIZE_NOTHING), about, error));
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
        TRY(ort_done(ort, ort->add_config(options, entries[i][0], entries[i][1]), about, error));
    return TIPSC_OK;
}

static tipsc_code open_session(ort_runtime *runtime, size_t path, const char *folder, uint32_t threads,
                               tipsc_error *error) {
    const ort *ort = &runtime->ort;
    const char *id = runtime->paths[path].entry->id.text;
    char graph[MOST_NAME], about[128];
    OrtSessionOptions *options = NULL;
    snprintf(about, sizeof about, "path %s", id);
    if (snprintf(graph, sizeof graph, "%s/%s.onnx", folder, id) >= (int)sizeof graph)
        return fail(error, TIPSC_USAGE, "use a shorter one", "%s: the name is too long", folder);
    TRY(ort_done(ort, ort->create_session_options(&options), about, error));
    tipsc_code code = set_options(ort, options, threads, about, error);
    if (code == TIPSC_OK) code = ort_weights_feed(&runtime->weights, ort, runtime->memory, options, id, error);
    if (code == TIPSC_OK)
        code = ort_done(ort, ort->create_session(runtime->env, graph, options, &runtime->sessions[path]), about, error);
    ort->release_session_options(options);
    return code;
}

typedef struct finalising {
    const ort_runtime *runtime;
    const engine_file *file;
} finalising;

static tipsc_code build(void *user, const char *folder, tipsc_error *error) {
    const finalising *work = user;
    return ort_finalise(&work->runtime->ort, work->runtime->env, work->file, folder, error);
}

static tipsc_code open_sessions(ort_runtime *runtime, const opening *opening, tipsc_error *error) {
    const tipsc_options *options = opening->options;
    char isa[MOST_ISA], folder[MOST_NAME];
    bool temporary = false;
    finalising work = {runtime, opening->file};
    instruction_set(isa);
    cache_request request = {
        .file = opening->name,
        .engine_hash = opening->file->hash,
        .named = options->cache_dir,
        .key = {{{"engine", opening->file->hash},
                 {"format", ORT_FORMAT},
                 {"instruction set", isa},
                 {"onnxruntime", runtime->ort.version}}},
        .build = build,
        .user = &work,
        .log = options->log,
        .log_user = options->user,
    };
    TRY(cache_obtain(&request, folder, &temporary, error));
    tipsc_code code = ort_weights_open(&runtime->weights, folder, error);
    for (size_t i = 0; code == TIPSC_OK && i < runtime->path_count; i++)
        code = open_session(runtime, i, folder, options->threads, error);
    ort_weights_opened(&runtime->weights);
    if (temporary) cache_remove(folder); /* what is mapped outlives the names of the files */
    return code;
}

/* One arena for all sessions of the process that ask for it. A second one is refused: then the first, of
 * another engine or of the application, is shared. */
static void share_arena(const ort *ort, OrtEnv *env) {
    OrtMemoryInfo *memory = NULL;
    OrtStatus *status = ort->create_cpu_memory(ORT_ARENA_ALLOCATOR, ORT_MEMORY_DEFAULT, &memory);
    if (!status) status = ort->register_allocator(env, memory, NULL);
    if (status) ort->release_status(status);
    if (memory) ort->release_memory(memory);
}

static tipsc_code open_runtime(runtime *base, const opening *opening, tipsc_error *error) {
    ort_runtime *runtime = (ort_runtime *)base;
    ort *ort = &runtime->ort;
    const manifest *manifest = &opening->file->manifest;
    TRY(ort_load(ort, opening->options->runtime, error));
    runtime->path_count = opening->path_count;
    runtime->paths = opening->paths;
    runtime->input_count = manifest->input_count;
    runtime->output_count = manifest->output_count;
    runtime->sessions = calloc(runtime->path_count, sizeof *runtime->sessions);
    runtime->names = calloc(manifest->input_count + manifest->output_count, sizeof *runtime->names);
    if (!runtime->sessions || !runtime->names) return no_memory(error);
    for (size_t i = 0; i < manifest->input_count; i++) runtime->names[i] = manifest->inputs[i].name.text;
    for (size_t i = 0; i < manifest->output_count; i++)
        runtime->names[manifest->input_count + i] = manifest->outputs[i].name.text;
    TRY(ort_done(ort, ort->create_env(ORT_LOG_ERROR, "tipsc", &runtime->env), "to start", error));
    OrtStatus *status = ort->disable_telemetry(runtime->env);
    if (status) ort->release_status(status);
    TRY(ort_done(ort, ort->create_cpu_memory(ORT_ARENA_ALLOCATOR, ORT_MEMORY_DEFAULT, &runtime->memory), "to start", error));
    share_arena(ort, runtime->env);
    return open_sessions(runtime, opening, error);
}

static void close_runtime(runtime *base) {
    ort_runtime *runtime = (ort_runtime *)base;
    for (size_t i = 0; runtime->sessions && i < runtime->path_count; i++)
        if (runtime->sessions[i]) runtime->ort.release_session(runtime->sessions[i]);
    free(runtime->sessions);
    runtime->sessions = NULL;
    ort_weights_close(&runtime->weights, &runtime->ort);
    if (runtime->memory) runtime->ort.release_memory(runtime->memory);
    if (runtime->env) runtime->ort.release_env(runtime->env);
    runtime->memory = NULL;
    runtime->env = NULL;
}

static void free_runtime(runtime *base) {
    ort_runtime *runtime = (ort_runtime *)base;
    close_runtime(base);
    free(runtime->names);
}

static tipsc_code bind(runtime *base, size_t path, void **found, tipsc_error *error) {
    const ort_runtime *runtime = (const ort_runtime *)base;
    (void)path;
    size_t count = runtime->input_count + runtime->output_count;
    binding *binding = calloc(1, sizeof *binding + count * sizeof *binding->tensors);
    if (!binding) return no_memory(error);
    binding->count = count;
    *found = binding;
    return TIPSC_OK;
}

static void unbind(runtime *base, void *given) {
    const ort_runtime *runtime = (const ort_runtime *)base;
    binding *binding = given;
    for (size_t i = 0; i < binding->count; i++)
        if (binding->tensors[i].value) runtime->ort.release_value(binding->tensors[i].value);
    free(binding);
}

static tipsc_code view(const ort_runtime *runtime, binding *binding, size_t at, const tensor *tensor, void *data,
                       tipsc_error *error) {
    const ort *ort = &runtime->ort;
    if (binding->tensors[at].data == data) return TIPSC_OK;
    if (binding->tensors[at].value) ort->release_value(binding->tensors[at].value);
    binding->tensors[at].value = NULL;
    binding->tensors[at].data = NULL;
    TRY(ort_done(ort, ort->create_tensor(runtime->memory, data, (size_t)tensor->bytes, tensor->shape,
                                         tensor->spec->rank, tensor->spec->dtype, &binding->tensors[at].value),
                 tensor->spec->name.text, error));
    binding->tensors[at].data = data;
    return TIPSC_OK;
}

static tipsc_code run(runtime *base, size_t path, void *given, const tipsc_buffer *inputs, const tipsc_buffer *outputs,
                      tipsc_error *error) {
    const ort_runtime *runtime = (const ort_runtime *)base;
    const opened_path *opened = &runtime->paths[path];
    binding *binding = given;
    size_t taken = runtime->input_count, given_count = runtime->output_count;
    OrtValue *values[64], **all = values;
    if (binding->count > 64) {
        all = malloc(binding->count * sizeof *all);
        if (!all) return no_memory(error);
    }
    tipsc_code code = TIPSC_OK;
    for (size_t i = 0; code == TIPSC_OK && i < taken; i++)
        code = view(runtime, binding, i, &opened->inputs[i], inputs[i].data, error);
    for (size_t i = 0; code == TIPSC_OK && i < given_count; i++)
        code = view(runtime, binding, taken + i, &opened->outputs[i], outputs[i].data, error);
    if (code == TIPSC_OK) {
        for (size_t i = 0; i < binding->count; i++) all[i] = binding->tensors[i].value;
        OrtStatus *status = runtime->ort.run(runtime->sessions[path], NULL, runtime->names,
                                             (const OrtValue *const *)all, taken, runtime->names + taken, given_count,
                                             all + taken);
        code = status ? ort_done(&runtime->ort, status, opened->entry->id.text, error) : TIPSC_OK;
    }
    if (all != values) free(all);
    return code;
}

const runtime_kind ORT_RUNTIME = {
    .backend = "onnxruntime",
    .bytes = sizeof(ort_runtime),
    .open = open_runtime,
    .close = close_runtime,
    .free = free_runtime,
    .bind = bind,
    .unbind = unbind,
    .run = run,
};
