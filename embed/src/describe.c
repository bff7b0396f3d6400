/* What an engine says about itself. */
#include <math.h>

#include "decode.h"
#include "engine.h"

tipsc_code tipsc_describe(const tipsc_engine *engine, tipsc_engine_info *info, tipsc_error *error) {
    if (!engine) return fail(error, TIPSC_USAGE, NULL, "there is no engine");
    const manifest *manifest = &engine->file.manifest;
    tipsc_engine_info found = {
        .input_count = (uint32_t)manifest->input_count,
        .output_count = (uint32_t)manifest->output_count,
        .path_count = (uint32_t)engine->path_count,
        .name = manifest->name.text,
        .target = manifest->target.text,
        .backend = manifest->backend.text,
        .form = engine->file.is_tflite ? "tflite" : "onnx",
        .hash = engine->file.hash,
        .noise = manifest->noise.text,
    };
    return give_struct(info, &found, sizeof found, error);
}

static tipsc_code path_at(const tipsc_engine *engine, size_t path, const opened_path **found, tipsc_error *error) {
    if (!engine) return fail(error, TIPSC_USAGE, NULL, "there is no engine");
    if (path >= engine->path_count)
        return fail(error, TIPSC_PATH, "tipsc_find gives the number of an id",
                    "the engine has no path %zu (expected less than %zu)", path, engine->path_count);
    *found = &engine->paths[path];
    return TIPSC_OK;
}

tipsc_code tipsc_describe_path(const tipsc_engine *engine, size_t path, tipsc_path_info *info, tipsc_error *error) {
    const opened_path *opened = NULL;
    TRY(path_at(engine, path, &opened, error));
    const path_entry *entry = opened->entry;
    tipsc_path_info found = {
        .batch = (uint32_t)entry->batch,
        .id = entry->id.text,
        .quality_name = entry->has_quality ? entry->quality_name.text : NULL,
        .quality_unit = entry->has_quality ? entry->quality_unit.text : NULL,
        .quality = entry->has_quality ? entry->quality : NAN,
        .quality_higher = entry->higher,
        .p10_ms = entry->has_latency ? entry->p10_ms : NAN,
        .p50_ms = entry->has_latency ? entry->p50_ms : NAN,
        .p95_ms = entry->has_latency ? entry->p95_ms : NAN,
        .pause_ms = entry->has_pause ? entry->pause_ms : NAN,
        .macs = entry->macs,
        .parameters = entry->parameters,
        .shared_bytes = entry->shared_bytes,
        .private_bytes = entry->private_bytes,
        .energy_mj = entry->has_energy ? entry->energy_mj : NAN,
    };
    return give_struct(info, &found, sizeof found, error);
}

tipsc_code tipsc_find(const tipsc_engine *engine, const char *id, size_t *path, tipsc_error *error) {
    if (!engine || !id || !path) return fail(error, TIPSC_USAGE, NULL, "there is no engine, no id, or nowhere to put the path");
    for (size_t i = 0; i < engine->path_count; i++)
        if (is_text(engine->paths[i].entry->id, id)) {
            *path = i;
            return TIPSC_OK;
        }
    return fail(error, TIPSC_PATH, NULL, "the engine, as it was opened, has no path %.80s", id);
}

static tipsc_code describe_tensor(const tensor *tensors, size_t count, size_t index, const char *what,
                                  tipsc_tensor_info *info, tipsc_error *error) {
    if (index >= count) return fail(error, TIPSC_USAGE, NULL, "there is no %s %zu (expected less than %zu)", what, index, count);
    const tensor *tensor = &tensors[index];
    tipsc_tensor_info found = {
        .dtype = tensor->spec->dtype,
        .name = tensor->spec->name.text,
        .layout = tensor->spec->layout,
        .rank = tensor->spec->rank,
        .shape = tensor->shape,
        .bytes = tensor->bytes,
    };
    return give_struct(info, &found, sizeof found, error);
}

tipsc_code tipsc_describe_input(const tipsc_engine *engine, size_t path, size_t index, tipsc_tensor_info *info,
                                tipsc_error *error) {
    const opened_path *opened = NULL;
    TRY(path_at(engine, path, &opened, error));
    return describe_tensor(opened->inputs, engine->file.manifest.input_count, index, "input", info, error);
}

tipsc_code tipsc_describe_output(const tipsc_engine *engine, size_t path, size_t index, tipsc_tensor_info *info,
                                 tipsc_error *error) {
    const opened_path *opened = NULL;
    TRY(path_at(engine, path, &opened, error));
    return describe_tensor(opened->outputs, engine->file.manifest.output_count, index, "output", info, error);
}
