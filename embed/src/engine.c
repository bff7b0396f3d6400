#include "engine.h"

#include <stdlib.h>
#include <string.h>

#include "decode.h"
#include "signed.h"

static const runtime_kind *const KINDS[] = {
    &ORT_RUNTIME,
    &LITERT_RUNTIME,
#ifdef TIPSC_WITH_TENSORRT
    &TENSORRT_RUNTIME,
#endif
};
enum { KIND_COUNT = sizeof KINDS / sizeof *KINDS };

uint32_t tipsc_abi(void) { return TIPSC_ABI; }

tipsc_code take_struct(void *into, const void *from, size_t known, const char *what, tipsc_error *error) {
    memset(into, 0, known);
    if (!from) return TIPSC_OK;
    uint32_t size;
    memcpy(&size, from, sizeof size);
    if (size < 2 * sizeof size)
        return fail(error, TIPSC_USAGE, "set size to sizeof of the struct", "%s: its size is not set", what);
    memcpy(into, from, size < known ? size : known);
    return TIPSC_OK;
}

tipsc_code give_struct(void *into, const void *from, size_t known, tipsc_error *error) {
    uint32_t size;
    if (!into) return fail(error, TIPSC_USAGE, NULL, "there is no struct to fill");
    memcpy(&size, into, sizeof size);
    if (size < 2 * sizeof size)
        return fail(error, TIPSC_USAGE, "set size to sizeof of the struct", "the size of the struct is not set");
    memcpy((char *)into + sizeof size, (const char *)from + sizeof size, (size < known ? size : known) - sizeof size);
    return TIPSC_OK;
}

void engine_hold(tipsc_engine *engine) { atomic_fetch_add(&engine->holders, 1); }

void engine_let_go(tipsc_engine *engine) {
    if (atomic_fetch_sub(&engine->holders, 1) != 1) return;
    if (engine->runtime) engine->runtime->kind->free(engine->runtime);
    free(engine->runtime);
    engine_file_close(&engine->file);
    calls_free(&engine->calls);
    free(engine);
}

/* Inputs or outputs as a path of so many examples takes them. */
static const tensor *tensors_for(arena *arena, const tensor_spec *specs, size_t count, int64_t batch) {
    tensor *tensors = arena_take(arena, count, sizeof *tensors);
    for (size_t i = 0; tensors && i < count; i++) {
        int64_t *shape = arena_take(arena, specs[i].rank, sizeof *shape);
        if (!shape) return NULL;
        for (size_t axis = 0; axis < specs[i].rank; axis++) shape[axis] = length_for(&specs[i], axis, batch);
        tensors[i] = (tensor){&specs[i], shape, tensor_bytes(&specs[i], batch)};
    }
    return tensors;
}

static tipsc_code open_path(tipsc_engine *engine, const path_entry *entry, tipsc_error *error) {
    manifest *manifest = &engine->file.manifest;
    opened_path *path = &engine->paths[engine->path_count], *same = NULL;
    for (size_t i = 0; i < engine->path_count && !same; i++)
        if (engine->paths[i].entry->batch == entry->batch) same = &engine->paths[i];
    arena *arena = &engine->file.arena;
    path->entry = entry;
    path->inputs = same ? same->inputs : tensors_for(arena, manifest->inputs, manifest->input_count, entry->batch);
    path->outputs = same ? same->outputs : tensors_for(arena, manifest->outputs, manifest->output_count, entry->batch);
    if (!path->inputs || !path->outputs) return no_memory(error);
    engine->path_count++;
    return TIPSC_OK;
}

static const path_entry *entry_of(const manifest *manifest, const char *id) {
    for (size_t i = 0; id && i < manifest->path_count; i++)
        if (is_text(manifest->paths[i].id, id)) return &manifest->paths[i];
    return NULL;
}

static tipsc_code open_paths(tipsc_engine *engine, const tipsc_options *options, tipsc_error *error) {
    const manifest *manifest = &engine->file.manifest;
    engine->paths = arena_take(&engine->file.arena, manifest->path_count, sizeof *engine->paths);
    if (!engine->paths) return no_memory(error);
    for (uint32_t k = 0; k < options->path_count; k++)
        if (!entry_of(manifest, options->paths ? options->paths[k] : NULL))
            return fail(error, TIPSC_PATH, NULL, "the engine has no path %.80s",
                        options->paths && options->paths[k] ? options->paths[k] : "without an id");
    for (size_t i = 0; i < manifest->path_count; i++) {
        bool wanted = !options->path_count;
        for (uint32_t k = 0; k < options->path_count && !wanted; k++)
            wanted = is_text(manifest->paths[i].id, options->paths[k]);
        if (wanted) TRY(open_path(engine, &manifest->paths[i], error));
    }
    return TIPSC_OK;
}

/* All that waits until a path is asked for. */
static tipsc_code check_inside(const engine_file *file, tipsc_error *error) {
    const graph *graph;
    if (file->is_tflite) {
        const uint8_t *model;
        void *owned;
        TRY(checked_tflite(file, &model, &owned, error));
        free(owned);
    }
    for (size_t i = 0; i < file->graph_count; i++) TRY(checked_graph(file, &file->manifest.paths[i], &graph, error));
    return TIPSC_OK;
}

static tipsc_code open_runtime(tipsc_engine *engine, const opening *opening, tipsc_error *error) {
    const engine_file *file = &engine->file;
    for (int i = 0; i < KIND_COUNT; i++)
        if (is_text(file->manifest.backend, KINDS[i]->backend)) {
            if (KINDS[i]->of_tflite != file->is_tflite || (file->has_plans && !KINDS[i]->of_plans))
                return fail(error, TIPSC_DAMAGED, REBUILD,
                            "an engine for the backend %s holds something else than it runs", KINDS[i]->backend);
            engine->runtime = calloc(1, KINDS[i]->bytes);
            if (!engine->runtime) return no_memory(error);
            engine->runtime->kind = KINDS[i];
            return KINDS[i]->open(engine->runtime, opening, error);
        }
    if (is_text(file->manifest.backend, "tensorrt"))
        return fail(error, TIPSC_DEVICE, "compile libtipsc on the device with -DTIPSC_TENSORRT=ON, or open it in Python",
                    "this library was compiled without the headers of TensorRT, and so has no backend tensorrt");
    return fail(error, TIPSC_DEVICE, "open it in Python, or build for onnxruntime or litert",
                "this library has no backend %.60s", file->manifest.backend.text);
}

static tipsc_code open_engine(tipsc_engine *engine, source source, const char *name, const tipsc_options *options,
                              tipsc_error *error) {
    limits limits = {options->file_bytes ? options->file_bytes : UINT64_MAX,
                     options->manifest_bytes ? options->manifest_bytes : 4 << 20,
                     options->graph_bytes ? options->graph_bytes : 128 << 20,
                     options->tensor_bytes ? options->tensor_bytes : 1 << 30};
    TRY(read_engine(&engine->file, source, &limits, error));
    if (options->keys) TRY(check_signed(&engine->file, name, options, error));
    TRY(open_paths(engine, options, error));
    if (options->flags & TIPSC_ONLY_READ) return check_inside(&engine->file, error);
    opening opening = {&engine->file, name, options, engine->paths, engine->path_count};
    TRY(open_runtime(engine, &opening, error));
    free(engine->file.graph_bytes); /* the runtime has what it needs */
    engine->file.graph_bytes = NULL;
    engine->file.graph_count = 0;
    return TIPSC_OK;
}

static tipsc_code open_source(source source, const char *name, const tipsc_options *options, tipsc_engine **engine,
                              tipsc_error *error) {
    tipsc_engine *made = calloc(1, sizeof *made);
    if (!made || !calls_make(&made->calls)) {
        free(made);
        source_close(&source);
        return no_memory(error);
    }
    made->file.source.descriptor = -1;
    made->log = options->log;
    made->log_user = options->user;
    atomic_init(&made->holders, 1);
    tipsc_code code = open_engine(made, source, name, options, error);
    source_close(&made->file.source); /* what is used from here on was copied or mapped */
    if (code != TIPSC_OK) engine_let_go(made);
    else *engine = made;
    return code;
}

static tipsc_code check_options(const tipsc_options *given, tipsc_options *options, tipsc_error *error) {
    TRY(take_struct(options, given, sizeof *options, "options", error));
    if (options->flags & ~(uint32_t)TIPSC_ONLY_READ)
        return fail(error, TIPSC_USAGE, "leave unknown bits 0", "options.flags: has a bit that this version does not know");
    if (!options->keys != !options->key_count)
        return fail(error, TIPSC_USAGE, "give one, or leave both out", "options.keys: there are no keys, or not how many");
    if (!options->threads) options->threads = 1;
    return TIPSC_OK;
}

tipsc_code tipsc_open(const char *file, const tipsc_options *given, tipsc_engine **engine, tipsc_error *error) {
    tipsc_options options;
    source source;
    if (!file || !engine) return fail(error, TIPSC_USAGE, NULL, "there is no file, or nowhere to put the engine");
    TRY(check_options(given, &options, error));
    TRY(source_file(&source, file, error));
    return open_source(source, file, &options, engine, error);
}

tipsc_code tipsc_open_memory(const void *data, size_t bytes, const tipsc_options *given, tipsc_engine **engine,
                             tipsc_error *error) {
    tipsc_options options;
    source source;
    if (!data || !engine) return fail(error, TIPSC_USAGE, NULL, "there is no engine, or nowhere to put it");
    TRY(check_options(given, &options, error));
    source_memory(&source, data, bytes);
    return open_source(source, NULL, &options, engine, error);
}

void tipsc_close(tipsc_engine *engine) {
    if (!engine) return;
    calls_close(&engine->calls);
    if (engine->runtime) engine->runtime->kind->close(engine->runtime);
    engine_let_go(engine);
}
