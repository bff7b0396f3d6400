#define _GNU_SOURCE
#include "ort_weights.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "decode.h"
#include "files.h"
#include "manifest.h"
#include "ort_finalise.h"

enum { MOST_CONSTANTS = 256 << 20, MOST_AXES = 32 };

static tipsc_code map_weights(ort_weights *weights, const char *name, tipsc_error *error) {
    int from = -1;
    struct stat found;
    TRY(open_regular(name, &from, error));
    if (fstat(from, &found)) found.st_size = 0;
    weights->length = (size_t)found.st_size;
    if (weights->length) weights->mapped = mmap(NULL, weights->length, PROT_READ, MAP_SHARED, from, 0);
    close(from);
    if (weights->mapped != MAP_FAILED) return TIPSC_OK;
    weights->mapped = NULL;
    return fail(error, TIPSC_USAGE, NULL, "%s: cannot be mapped: %s", name, strerror(errno));
}

tipsc_code ort_weights_open(ort_weights *weights, const char *folder, tipsc_error *error) {
    char name[MOST_NAME];
    void *content = NULL;
    size_t length = 0;
    TRY(joined(name, folder, BLOB, error));
    TRY(map_weights(weights, name, error));
    TRY(joined(name, folder, CONSTANTS, error));
    TRY(read_file(name, MOST_CONSTANTS, &content, &length, error));
    tipsc_code code = json_parse(&weights->arena, content, length, name, &weights->constants, error);
    free(content);
    TRY(code);
    return map_make(&weights->views, &weights->arena, 1024) ? TIPSC_OK : no_memory(error);
}

/* Where and what a constant is; all of it numbers, so that equal bytes are equal constants. */
typedef struct row {
    int64_t element_type, offset, length, rank;
    int64_t shape[MOST_AXES];
} row;

static bool read_row(const json *value, const char **name, row *row) {
    if (value->kind != JSON_LIST || value->length != 5) return false;
    const json *part = value->parts;
    text said;
    if (text_in(part, &said, "", NULL)) return false;
    *name = said.text;
    part = part->next;
    if (integer_in(part, &row->element_type, "", NULL)) return false;
    part = part->next;
    if (part->kind != JSON_LIST || part->length > MOST_AXES) return false;
    row->rank = (int64_t)part->length;
    size_t axis = 0;
    for (const json *size = part->parts; size; size = size->next)
        if (count_in(size, &row->shape[axis++], "", NULL)) return false;
    part = part->next;
    return !count_in(part, &row->offset, "", NULL) && !count_in(part->next, &row->length, "", NULL);
}

/* Whether its bytes are those of its shape, and lie within the map. */
static bool fits(const ort_weights *weights, const row *row) {
    uint64_t bytes = element_bytes((int)row->element_type);
    for (int64_t axis = 0; axis < row->rank; axis++)
        if (__builtin_mul_overflow(bytes, (uint64_t)row->shape[axis], &bytes)) return false;
    return bytes == (uint64_t)row->length && (uint64_t)row->offset <= weights->length &&
           (uint64_t)row->length <= weights->length - (uint64_t)row->offset;
}

static tipsc_code view(ort_weights *weights, const ort *ort, const OrtMemoryInfo *memory, const row *row,
                       OrtValue **value, tipsc_error *error) {
    struct row *key = arena_take(&weights->arena, 1, sizeof *key);
    if (!key) return no_memory(error);
    *key = *row;
    map_entry *entry = map_at(&weights->views, key, sizeof *key);
    if (!entry) return no_memory(error);
    if (!entry->value) {
        if (weights->value_count == weights->value_room) {
            size_t room = weights->value_room ? 2 * weights->value_room : 64;
            OrtValue **grown = realloc(weights->values, room * sizeof *grown);
            if (!grown) return no_memory(error);
            weights->values = grown;
            weights->value_room = room;
        }
        OrtValue *made = NULL;
        TRY(ort_done(ort, ort->create_tensor(memory, (char *)weights->mapped + row->offset, (size_t)row->length,
                                             row->shape, (size_t)row->rank, (int)row->element_type, &made),
                     "a constant", error));
        weights->values[weights->value_count++] = made;
        entry->value = made;
    }
    *value = entry->value;
    return TIPSC_OK;
}

tipsc_code ort_weights_feed(ort_weights *weights, const ort *ort, const OrtMemoryInfo *memory,
                            OrtSessionOptions *options, const char *path, tipsc_error *error) {
    const json *rows = weights->constants->kind == JSON_OBJECT ? weights->constants->parts : NULL;
    while (rows && strcmp(rows->key, path) != 0) rows = rows->next;
    if (!rows || rows->kind != JSON_LIST)
        return fail(error, TIPSC_DEVICE, "remove the cache", "the finalised engine has no path %s", path);
    for (const json *part = rows->parts; part; part = part->next) {
        row row = {0};
        const char *name = NULL;
        OrtValue *value = NULL;
        if (!read_row(part, &name, &row))
            return fail(error, TIPSC_DEVICE, "remove the cache", "a constant of the finalised path %s cannot be read", path);
        if (row.element_type == TIPSC_BOOL || !element_bytes((int)row.element_type)) continue; /* as Python does */
        if (!fits(weights, &row))
            return fail(error, TIPSC_DEVICE, "remove the cache", "a constant of the finalised path %s does not fit", path);
        TRY(view(weights, ort, memory, &row, &value, error));
        TRY(ort_done(ort, ort->add_initializer(options, name, value), name, error));
    }
    return TIPSC_OK;
}

void ort_weights_opened(ort_weights *weights) {
    arena_free(&weights->arena);
    weights->constants = NULL;
}

void ort_weights_close(ort_weights *weights, const ort *ort) {
    for (size_t i = 0; i < weights->value_count; i++) ort->release_value(weights->values[i]);
    free(weights->values);
    if (weights->mapped) munmap(weights->mapped, weights->length);
    *weights = (ort_weights){0};
}
