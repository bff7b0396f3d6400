#include "manifest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "decode.h"
#include "map.h"
#include "signature.h"

enum { MOST_BATCH = 4096, MOST_ID = 64 };

static tipsc_code damaged(const char *what, const char *where, tipsc_error *error) {
    return fail(error, TIPSC_DAMAGED, REBUILD, "manifest: %s: %s", where, what);
}

static tipsc_code quality_of(const json *value, path_entry *path, tipsc_error *error) {
    if (value->kind == JSON_NULL) return TIPSC_OK;
    wanted keys[] = {{"name", false, NULL}, {"value", false, NULL}, {"unit", true, NULL}, {"better", true, NULL},
                     {NULL, false, NULL}};
    text better = {"higher", 6};
    path->quality_unit = (text){"", 0};
    TRY(object_of(value, keys, "quality", error));
    TRY(text_in(keys[0].found, &path->quality_name, "quality", error));
    TRY(number_in(keys[1].found, &path->quality, "quality", error));
    if (keys[2].found) TRY(text_in(keys[2].found, &path->quality_unit, "quality", error));
    if (keys[3].found) TRY(text_in(keys[3].found, &better, "quality", error));
    path->higher = is_text(better, "higher");
    if (!path->higher && !is_text(better, "lower")) return damaged("neither higher nor lower", "quality", error);
    if (is_text(path->quality_unit, "share") && !(path->quality >= 0 && path->quality <= 1))
        return damaged("a share that is not from 0 to 1", "quality", error);
    path->has_quality = true;
    return TIPSC_OK;
}

static tipsc_code latency_of(const json *value, path_entry *path, tipsc_error *error) {
    if (value->kind == JSON_NULL) return TIPSC_OK;
    wanted keys[] = {{"p10_ms", false, NULL}, {"p50_ms", false, NULL}, {"p95_ms", false, NULL},
                     {"pause_ms", true, NULL}, {NULL, false, NULL}};
    double *into[] = {&path->p10_ms, &path->p50_ms, &path->p95_ms};
    TRY(object_of(value, keys, "latency", error));
    for (int i = 0; i < 3; i++) {
        TRY(number_in(keys[i].found, into[i], "latency", error));
        if (!(*into[i] > 0)) return damaged("not a positive time", "latency", error);
    }
    if (keys[3].found && keys[3].found->kind != JSON_NULL) {
        TRY(number_in(keys[3].found, &path->pause_ms, "latency", error));
        path->has_pause = true;
    }
    path->has_latency = true;
    return TIPSC_OK;
}

/* It becomes the name of a file. */
static bool is_id(text id) {
    if (id.length < 1 || id.length > MOST_ID) return false;
    for (size_t i = 0; i < id.length; i++) {
        char c = id.text[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && !(i && (c == '_' || c == '-'))) return false;
    }
    return true;
}

static tipsc_code path_of(const json *value, path_entry *path, tipsc_error *error) {
    wanted keys[] = {{"id", false, NULL},           {"options", false, NULL},      {"quality", false, NULL},
                     {"latency", false, NULL},      {"macs", false, NULL},         {"parameters", false, NULL},
                     {"shared_bytes", false, NULL}, {"private_bytes", false, NULL}, {"batch", true, NULL},
                     {"energy_mj", true, NULL},     {NULL, false, NULL}};
    int64_t *counts[] = {&path->macs, &path->parameters, &path->shared_bytes, &path->private_bytes};
    TRY(object_of(value, keys, "paths", error));
    TRY(text_in(keys[0].found, &path->id, "id", error));
    if (!is_id(path->id)) return damaged("not a path id", "id", error);
    if (keys[1].found->kind != JSON_OBJECT) return damaged("wrong type (expected an object)", "options", error);
    for (const json *option = keys[1].found->parts; option; option = option->next) {
        int64_t ignored;
        TRY(integer_in(option, &ignored, "options", error));
    }
    TRY(quality_of(keys[2].found, path, error));
    TRY(latency_of(keys[3].found, path, error));
    for (int i = 0; i < 4; i++) TRY(count_in(keys[4 + i].found, counts[i], keys[4 + i].key, error));
    path->batch = 1;
    if (keys[8].found) TRY(integer_in(keys[8].found, &path->batch, "batch", error));
    if (path->batch < 1 || path->batch > MOST_BATCH) return damaged("not a size of a batch", "batch", error);
    if (keys[9].found && keys[9].found->kind != JSON_NULL) {
        TRY(number_in(keys[9].found, &path->energy_mj, "energy_mj", error));
        if (!(path->energy_mj > 0)) return damaged("not a positive energy", "energy_mj", error);
        path->has_energy = true;
    }
    return TIPSC_OK;
}

static int by_speed(const void *a, const void *b) {
    const path_entry *one = a, *other = b;
    double first = one->has_latency ? one->p50_ms : INFINITY, second = other->has_latency ? other->p50_ms : INFINITY;
    if (first != second) return first < second ? -1 : 1;
    if (one->macs != other->macs) return one->macs < other->macs ? -1 : 1;
    return strcmp(one->id.text, other->id.text);
}

static tipsc_code paths_of(arena *arena, const json *value, manifest *manifest, tipsc_error *error) {
    TRY(list_in(value, "paths", error));
    if (!value->length) return damaged("no entry", "paths", error);
    manifest->path_count = value->length;
    manifest->paths = arena_take(arena, value->length, sizeof *manifest->paths);
    map ids;
    if (!manifest->paths || !map_make(&ids, arena, value->length)) return no_memory(error);
    const path_entry *measured = NULL;
    size_t i = 0;
    for (const json *part = value->parts; part; part = part->next, i++) {
        path_entry *path = &manifest->paths[i];
        TRY(path_of(part, path, error));
        if (!map_at(&ids, path->id.text, path->id.length)) return no_memory(error);
        if (ids.count != i + 1) return damaged("a path id is repeated", "paths", error);
        if (!path->has_quality) continue;
        if (measured && !(same_text(measured->quality_name, path->quality_name) &&
                          same_text(measured->quality_unit, path->quality_unit) && measured->higher == path->higher))
            return damaged("qualities of several measures", "paths", error);
        measured = path;
    }
    qsort(manifest->paths, manifest->path_count, sizeof *manifest->paths, by_speed);
    return TIPSC_OK;
}

static tipsc_code space_of(arena *arena, const json *value, tipsc_error *error) {
    map largest; /* of each choice, by its name */
    TRY(list_in(value, "space", error));
    if (!map_make(&largest, arena, value->length)) return no_memory(error);
    size_t count = 0;
    for (const json *choice = value->parts; choice; choice = choice->next, count++) {
        wanted keys[] = {{"name", false, NULL}, {"options", false, NULL}, {"gate", false, NULL},
                         {"gate_from", false, NULL}, {NULL, false, NULL}};
        text name, gate;
        int64_t from;
        TRY(object_of(choice, keys, "space", error));
        TRY(text_in(keys[0].found, &name, "space", error));
        TRY(list_in(keys[1].found, "space", error));
        TRY(integer_in(keys[3].found, &from, "space", error));
        if (!name.length || strcspn(name.text, "=,; \t\n") != strlen(name.text))
            return damaged("a choice's name is not usable", "space", error);
        if (!keys[1].found->length) return damaged("a choice has no options", "space", error);
        int64_t *last = NULL;
        for (const json *option = keys[1].found->parts; option; option = option->next) {
            int64_t *now = arena_take(arena, 1, sizeof *now);
            if (!now) return no_memory(error);
            TRY(integer_in(option, now, "space", error));
            if (last && *now <= *last) return damaged("options of a choice do not increase", "space", error);
            last = now;
        }
        if (keys[2].found->kind != JSON_NULL) {
            TRY(text_in(keys[2].found, &gate, "space", error));
            map_entry *known = map_find(&largest, gate.text, gate.length);
            if (!known) return damaged("a gate that is no earlier choice", "space", error);
            if (from > *(int64_t *)known->value) return damaged("a choice that can never be active", "space", error);
        }
        map_entry *entry = map_at(&largest, name.text, name.length);
        if (!entry) return no_memory(error);
        if (largest.count != count + 1) return damaged("two choices of one name", "space", error);
        entry->value = last;
    }
    return TIPSC_OK;
}

static const tensor_spec *named(const tensor_spec *specs, size_t count, const char *name, size_t length) {
    for (size_t i = 0; i < count; i++)
        if (same_text(specs[i].name, (text){name, length})) return &specs[i];
    return NULL;
}

static tipsc_code states_fit(arena *arena, const json *value, const manifest *manifest, tipsc_error *error) {
    map outputs;
    TRY(texts_in(value, "states", error));
    if (!map_make(&outputs, arena, value->length)) return no_memory(error);
    for (const json *state = value->parts; state; state = state->next) {
        const tensor_spec *taken = named(manifest->inputs, manifest->input_count, state->key, state->key_length);
        const tensor_spec *given = named(manifest->outputs, manifest->output_count, state->text, state->length);
        if (!taken || !given || taken->dtype != given->dtype || taken->rank != given->rank ||
            memcmp(taken->shape, given->shape, taken->rank * sizeof *taken->shape) != 0)
            return damaged("no input and output alike", "states", error);
        if (!map_at(&outputs, state->text, state->length)) return no_memory(error);
    }
    if (outputs.count != value->length) return damaged("two states are one output", "states", error);
    if (value->length && value->length >= manifest->input_count)
        return damaged("nothing but states goes in", "states", error);
    return TIPSC_OK;
}

static tipsc_code batches_fit(const manifest *manifest, tipsc_error *error) {
    bool several = false, counted = false, of_one = true;
    for (size_t i = 0; i < manifest->path_count; i++) several |= manifest->paths[i].batch != 1;
    for (size_t i = 0; i < manifest->input_count + manifest->output_count; i++) {
        const tensor_spec *spec = i < manifest->input_count ? &manifest->inputs[i]
                                                            : &manifest->outputs[i - manifest->input_count];
        counted |= spec->has_batch;
        of_one &= !spec->has_batch || spec->shape[spec->batch_axis] == 1;
    }
    if (several && !(counted && of_one))
        return damaged("paths for several examples, and a signature that is not of one", "signature", error);
    return TIPSC_OK;
}

text built_of(const manifest *manifest, const char *key) {
    const json *said = manifest->built ? manifest->built->parts : NULL;
    for (; said; said = said->next)
        if (is_text((text){said->key, said->key_length}, key)) return (text){said->text, said->length};
    return (text){"unknown", 7};
}

uint64_t call_bytes(const manifest *manifest) {
    int64_t batch = 1;
    for (size_t i = 0; i < manifest->path_count; i++)
        if (manifest->paths[i].batch > batch) batch = manifest->paths[i].batch;
    uint64_t sum = 0;
    for (size_t i = 0; i < manifest->input_count + manifest->output_count; i++) {
        const tensor_spec *spec = i < manifest->input_count ? &manifest->inputs[i]
                                                            : &manifest->outputs[i - manifest->input_count];
        uint64_t bytes = tensor_bytes(spec, batch);
        sum = bytes > UINT64_MAX - sum ? UINT64_MAX : sum + bytes;
    }
    return sum;
}

tipsc_code manifest_of(arena *arena, const json *value, manifest *manifest, tipsc_error *error) {
    wanted keys[] = {{"name", false, NULL},   {"target", false, NULL},     {"backend", false, NULL},
                     {"signature", false, NULL}, {"paths", false, NULL},   {"space", false, NULL},
                     {"provenance", true, NULL}, {"recipe", true, NULL},   {"built", true, NULL},
                     {"noise", true, NULL},   {"states", true, NULL},      {NULL, false, NULL}};
    *manifest = (struct manifest){.noise = {"", 0}};
    TRY(object_of(value, keys, "manifest", error));
    TRY(text_in(keys[0].found, &manifest->name, "manifest.name", error));
    TRY(text_in(keys[1].found, &manifest->target, "manifest.target", error));
    TRY(text_in(keys[2].found, &manifest->backend, "manifest.backend", error));
    TRY(signature_of(arena, keys[3].found, manifest, error));
    TRY(paths_of(arena, keys[4].found, manifest, error));
    TRY(space_of(arena, keys[5].found, error));
    for (int i = 6; i < 9; i++)
        if (keys[i].found) TRY(texts_in(keys[i].found, keys[i].key, error));
    manifest->has_recipe = keys[7].found && keys[7].found->length;
    manifest->has_built = keys[8].found && keys[8].found->length;
    manifest->built = keys[8].found;
    if (keys[9].found) TRY(text_in(keys[9].found, &manifest->noise, "noise", error));
    TRY(batches_fit(manifest, error));
    return keys[10].found ? states_fit(arena, keys[10].found, manifest, error) : TIPSC_OK;
}
