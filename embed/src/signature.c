/* Tensors of a call and the trees that they stand in. */
#include "signature.h"

#include <string.h>

#include "decode.h"
#include "map.h"

enum { MOST_DEEP = 6 };

static const struct {
    const char *name;
    int dtype;
    size_t bytes;
} DTYPES[] = {
    {"float32", TIPSC_FLOAT32, 4}, {"float16", TIPSC_FLOAT16, 2}, {"float64", TIPSC_FLOAT64, 8},
    {"int8", TIPSC_INT8, 1},       {"uint8", TIPSC_UINT8, 1},     {"int16", TIPSC_INT16, 2},
    {"int32", TIPSC_INT32, 4},     {"int64", TIPSC_INT64, 8},     {"bool", TIPSC_BOOL, 1},
};
enum { DTYPE_COUNT = sizeof DTYPES / sizeof *DTYPES };

size_t element_bytes(int dtype) {
    for (size_t i = 0; i < DTYPE_COUNT; i++)
        if (DTYPES[i].dtype == dtype) return DTYPES[i].bytes;
    return 0;
}

int64_t length_for(const tensor_spec *spec, size_t axis, int64_t batch) {
    return batch != 1 && spec->has_batch && axis == spec->batch_axis ? batch : spec->shape[axis];
}

uint64_t tensor_bytes(const tensor_spec *spec, int64_t batch) {
    uint64_t bytes = element_bytes(spec->dtype);
    for (size_t axis = 0; axis < spec->rank; axis++) {
        uint64_t length = (uint64_t)length_for(spec, axis, batch);
        if (bytes > UINT64_MAX / length) return UINT64_MAX;
        bytes *= length;
    }
    return bytes;
}

static tipsc_code damaged(const char *what, const char *where, tipsc_error *error) {
    return fail(error, TIPSC_DAMAGED, REBUILD, "%s: %s", where, what);
}

static tipsc_code layout_of(text letters, tensor_spec *spec, const char *where, tipsc_error *error) {
    if (letters.length != spec->rank) return damaged("not a letter for each axis", where, error);
    unsigned seen = 0;
    for (size_t axis = 0; axis < letters.length; axis++) {
        char letter = letters.text[axis];
        if (letter == '-') continue;
        const char *at = letter ? strchr("NCDHWL", letter) : NULL;
        if (!at) return damaged("not a letter of a layout", where, error);
        unsigned bit = 1u << (letter - 'A');
        if (seen & bit) return damaged("a letter of a layout is repeated", where, error);
        seen |= bit;
        if (letter == 'N') spec->has_batch = true, spec->batch_axis = axis;
    }
    spec->layout = letters.text;
    return TIPSC_OK;
}

static tipsc_code tensor_of(arena *arena, const json *value, tensor_spec *spec, const char *where,
                            tipsc_error *error) {
    wanted keys[] = {{"name", false, NULL}, {"dtype", false, NULL}, {"shape", false, NULL}, {"layout", false, NULL},
                     {NULL, false, NULL}};
    text dtype, layout;
    TRY(object_of(value, keys, where, error));
    TRY(text_in(keys[0].found, &spec->name, where, error));
    TRY(text_in(keys[1].found, &dtype, where, error));
    TRY(list_in(keys[2].found, where, error));
    TRY(text_in(keys[3].found, &layout, where, error));
    if (!spec->name.length) return damaged("a tensor has no name", where, error);
    for (size_t i = 0; i < DTYPE_COUNT; i++)
        if (is_text(dtype, DTYPES[i].name)) spec->dtype = DTYPES[i].dtype;
    if (!spec->dtype) return damaged("unknown dtype", where, error);
    spec->rank = keys[2].found->length;
    int64_t *shape = arena_take(arena, spec->rank, sizeof *shape);
    if (!shape) return no_memory(error);
    size_t axis = 0;
    for (const json *part = keys[2].found->parts; part; part = part->next, axis++) {
        TRY(integer_in(part, &shape[axis], where, error));
        if (shape[axis] < 1) return damaged("not a static shape", where, error);
    }
    spec->shape = shape;
    return layout_of(layout, spec, where, error);
}

static tipsc_code tensors_of(arena *arena, const json *value, tensor_spec **specs, size_t *count, const char *where,
                             tipsc_error *error) {
    TRY(list_in(value, where, error));
    if (!value->length) return damaged("no entry", where, error);
    map names;
    *count = value->length;
    *specs = arena_take(arena, *count, sizeof **specs);
    if (!*specs || !map_make(&names, arena, *count)) return no_memory(error);
    size_t i = 0;
    for (const json *part = value->parts; part; part = part->next, i++) {
        tensor_spec *spec = &(*specs)[i];
        TRY(tensor_of(arena, part, spec, where, error));
        if (!map_at(&names, spec->name.text, spec->name.length)) return no_memory(error);
        if (names.count != i + 1) return damaged("a name is repeated", where, error);
    }
    return TIPSC_OK;
}

static bool is_field(text name) {
    for (size_t i = 0; i < name.length; i++) {
        char c = name.text[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && !(i && c >= '0' && c <= '9')) return false;
    }
    return name.length > 0;
}

/* Adds its tensors to `tensors`; `height` becomes the most containers around one. */
static tipsc_code tree_of(arena *arena, const json *value, size_t *tensors, int *height, const char *where,
                          tipsc_error *error) {
    wanted keys[] = {{"kind", false, NULL}, {"keys", true, NULL}, {"parts", true, NULL}, {NULL, false, NULL}};
    text kind;
    TRY(object_of(value, keys, where, error));
    TRY(text_in(keys[0].found, &kind, where, error));
    bool record = is_text(kind, "record"), named = record || is_text(kind, "dict");
    bool leaf = is_text(kind, "tensor") || is_text(kind, "none");
    if (!named && !leaf && !is_text(kind, "tuple") && !is_text(kind, "list"))
        return damaged("no kind of a tree", where, error);
    size_t parts = 0, names = 0;
    *height = leaf ? 0 : 1;
    if (keys[2].found) {
        TRY(list_in(keys[2].found, where, error));
        parts = keys[2].found->length;
        for (const json *part = keys[2].found->parts; part; part = part->next) {
            int inner;
            TRY(tree_of(arena, part, tensors, &inner, where, error));
            if (inner + 1 > *height) *height = inner + 1;
        }
    }
    if (keys[1].found) {
        TRY(list_in(keys[1].found, where, error));
        names = keys[1].found->length;
        map known;
        if (!map_make(&known, arena, names)) return no_memory(error);
        size_t i = 0;
        for (const json *part = keys[1].found->parts; part; part = part->next, i++) {
            text name;
            TRY(text_in(part, &name, where, error));
            if (record && !is_field(name)) return damaged("not the name of a field", where, error);
            if (!map_at(&known, name.text, name.length)) return no_memory(error);
            if (known.count != i + 1) return damaged("a key is repeated", where, error);
        }
    }
    if (leaf && parts) return damaged("a leaf with parts", where, error);
    if (names != (named ? parts : 0)) return damaged("another number of keys than of parts", where, error);
    if (*height > MOST_DEEP) return damaged("containers nested too deep", where, error);
    *tensors += is_text(kind, "tensor");
    return TIPSC_OK;
}

static tipsc_code tree_fits(arena *arena, const json *value, size_t count, const char *where, tipsc_error *error) {
    size_t tensors = 0;
    int height;
    TRY(tree_of(arena, value, &tensors, &height, where, error));
    return tensors == count ? TIPSC_OK : damaged("the tree has another number of tensors", where, error);
}

tipsc_code signature_of(arena *arena, const json *value, manifest *manifest, tipsc_error *error) {
    wanted keys[] = {{"inputs", false, NULL}, {"outputs", false, NULL}, {"takes", false, NULL}, {"gives", false, NULL},
                     {NULL, false, NULL}};
    TRY(object_of(value, keys, "signature", error));
    TRY(tensors_of(arena, keys[0].found, &manifest->inputs, &manifest->input_count, "inputs", error));
    TRY(tensors_of(arena, keys[1].found, &manifest->outputs, &manifest->output_count, "outputs", error));
    TRY(tree_fits(arena, keys[2].found, manifest->input_count, "takes", error));
    return tree_fits(arena, keys[3].found, manifest->output_count, "gives", error);
}
