#include "graph.h"

#include <string.h>

#include "constants.h"
#include "decode.h"
#include "protobuf.h"

enum { V = 1 << WIRE_VARINT, D = 1 << WIRE_EIGHT, B = 1 << WIRE_BYTES, F = 1 << WIRE_FOUR };
enum { NUMBERS = 1, REPEATED = 2, DATA = 4, DOMAIN_OF_NODE = 8 }; /* packed varints; bytes that are no text */

typedef struct message message;
typedef struct allowed {
    uint8_t number, wires, is;
    const message *inner;
} allowed;

struct message {
    const char *name;
    const allowed *fields; /* the last has number 0 */
};

#define MESSAGE(variable, text, ...)                                     \
    static const allowed variable##_FIELDS[] = {__VA_ARGS__, {0, 0, 0, NULL}}; \
    static const message variable = {text, variable##_FIELDS}

MESSAGE(ENTRY, "StringStringEntryProto", {1, B, 0, NULL}, {2, B, 0, NULL});
MESSAGE(OPSET, "OperatorSetIdProto", {1, B, 0, NULL}, {2, V, 0, NULL});
MESSAGE(DIMENSION, "Dimension", {1, V, 0, NULL}, {2, B, 0, NULL}, {3, B, 0, NULL});
MESSAGE(SHAPE, "TensorShapeProto", {1, B, REPEATED, &DIMENSION});
MESSAGE(TENSOR_TYPE, "TypeProto.Tensor", {1, V, 0, NULL}, {2, B, 0, &SHAPE});
MESSAGE(TYPE, "TypeProto", {1, B, 0, &TENSOR_TYPE}, {6, B, 0, NULL});
MESSAGE(VALUE, "ValueInfoProto", {1, B, 0, NULL}, {2, B, 0, &TYPE}, {3, B, 0, NULL}, {4, B, REPEATED, &ENTRY});
MESSAGE(TENSOR, "TensorProto", {1, V | B, REPEATED | NUMBERS, NULL}, {2, V, 0, NULL}, {4, F | B, REPEATED | DATA, NULL},
        {5, V | B, REPEATED | NUMBERS, NULL}, {7, V | B, REPEATED | NUMBERS, NULL}, {8, B, 0, NULL},
        {9, B, DATA, NULL}, {10, D | B, REPEATED | DATA, NULL}, {11, V | B, REPEATED | NUMBERS, NULL},
        {12, B, 0, NULL}, {13, B, REPEATED, &ENTRY}, {14, V, 0, NULL}, {16, B, REPEATED, &ENTRY});
MESSAGE(ATTRIBUTE, "AttributeProto", {1, B, 0, NULL}, {2, F, DATA, NULL}, {3, V, 0, NULL}, {4, B, DATA, NULL},
        {5, B, 0, &TENSOR}, {7, F | B, REPEATED | DATA, NULL}, {8, V | B, REPEATED | NUMBERS, NULL},
        {9, B, REPEATED | DATA, NULL}, {13, B, 0, NULL}, {20, V, 0, NULL});
MESSAGE(NODE, "NodeProto", {1, B, REPEATED, NULL}, {2, B, REPEATED, NULL}, {3, B, 0, NULL}, {4, B, 0, NULL},
        {5, B, REPEATED, &ATTRIBUTE}, {6, B, 0, NULL}, {7, B, DOMAIN_OF_NODE, NULL}, {9, B, REPEATED, &ENTRY});
MESSAGE(GRAPH, "GraphProto", {1, B, REPEATED, &NODE}, {2, B, 0, NULL}, {5, B, REPEATED, &TENSOR}, {10, B, 0, NULL},
        {11, B, REPEATED, &VALUE}, {12, B, REPEATED, &VALUE}, {13, B, REPEATED, &VALUE}, {16, B, REPEATED, &ENTRY});
MESSAGE(MODEL, "ModelProto", {1, V, 0, NULL}, {2, B, 0, NULL}, {3, B, 0, NULL}, {4, B, 0, NULL}, {5, V, 0, NULL},
        {6, B, 0, NULL}, {7, B, 0, &GRAPH}, {8, B, REPEATED, &OPSET}, {14, B, REPEATED, &ENTRY});

typedef struct check {
    const char *path; /* for errors */
    uint64_t weights;
    tipsc_error *error;
} check;

static tipsc_code refused(const check *check, const char *what, const char *where) {
    return fail(check->error, TIPSC_DAMAGED, "build the engine again with tipsc", "graph of path %s: %s: %s", check->path,
                where, what);
}

static bool are_varints(bytes packed) {
    uint64_t ignored;
    bool shortest;
    while (packed.length)
        if (!next_varint(&packed, &ignored, &shortest)) return false;
    return true;
}

static bool decimal(bytes text, uint64_t *value) {
    if (text.length < 1 || text.length > 18) return false;
    *value = 0;
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') return false;
        *value = *value * 10 + (text.data[i] - '0');
    }
    return true;
}

/* A tensor that refers to bytes elsewhere refers to some of the section `weights`. */
static tipsc_code check_reference(const check *check, bytes tensor) {
    bytes location = {NULL, 0}, offset = {(const uint8_t *)"0", 1}, length = {NULL, 0};
    bool external = false;
    field entry, part;
    while (next_field(&tensor, &entry) > 0) {
        if (entry.number != 13) continue;
        bytes key = {NULL, 0}, value = {NULL, 0}, rest = entry.content;
        external = true;
        while (next_field(&rest, &part) > 0) *(part.number == 1 ? &key : &value) = part.content;
        if (key.length == 8 && !memcmp(key.data, "location", 8)) location = value;
        if (key.length == 6 && !memcmp(key.data, "offset", 6)) offset = value;
        if (key.length == 6 && !memcmp(key.data, "length", 6)) length = value;
    }
    if (!external) return TIPSC_OK;
    uint64_t from, count;
    if (location.length != 7 || memcmp(location.data, "weights", 7) != 0)
        return refused(check, "refers to another file than the weights", "TensorProto");
    if (!decimal(offset, &from) || !decimal(length, &count))
        return refused(check, "external data without a usable offset and length", "TensorProto");
    if (from > check->weights || count > check->weights - from)
        return refused(check, "refers to bytes outside the weights", "TensorProto");
    return TIPSC_OK;
}

/* Recurses as deep as the tables lead: eight messages inside each other. */
static tipsc_code check_message(const check *check, bytes content, const message *kind) {
    uint32_t seen = 0;
    bytes rest = content;
    field field;
    int state;
    while ((state = next_field(&rest, &field)) > 0) {
        if (!field.shortest) return refused(check, "a number is written too long", kind->name);
        const allowed *known = kind->fields;
        while (known->number && known->number != field.number) known++;
        if (!known->number || !(known->wires & 1 << field.wire))
            return refused(check, "a graph holds what tipsc does not write", kind->name);
        uint32_t bit = UINT32_C(1) << known->number;
        if (seen & bit && !(known->is & REPEATED)) return refused(check, "a field is there twice", kind->name);
        seen |= bit;
        if (field.wire != WIRE_BYTES) continue;
        if (known->inner) {
            TRY(check_message(check, field.content, known->inner));
        } else if (known->is & NUMBERS) {
            if (!are_varints(field.content)) return refused(check, "a number runs over", kind->name);
        } else if (!(known->is & DATA) && !is_utf8(field.content.data, field.content.length)) {
            return refused(check, "text is not UTF-8", kind->name);
        }
        if (known->is & DOMAIN_OF_NODE && field.content.length)
            return refused(check, "operators of another domain than ONNX's own", kind->name);
    }
    if (state < 0) return refused(check, "a field runs over", kind->name);
    return kind == &TENSOR ? check_reference(check, content) : TIPSC_OK;
}

/* One input or output of the graph is that of the manifest with its name; `found` says which. */
static tipsc_code value_fits(const check *check, bytes value, const tensor_spec *specs, size_t count, int64_t batch,
                             size_t *found) {
    text name = {"", 0};
    uint64_t elements = 0;
    bytes shape = {NULL, 0};
    bool has_shape = false;
    field part, inner, dim;
    while (next_field(&value, &part) > 0) {
        if (part.number == 1) name = (text){(const char *)part.content.data, part.content.length};
        bytes kinds = part.number == 2 ? part.content : (bytes){NULL, 0};
        while (next_field(&kinds, &inner) > 0) {
            bytes kind = inner.number == 1 ? inner.content : (bytes){NULL, 0};
            while (next_field(&kind, &dim) > 0) {
                if (dim.number == 1) elements = dim.value;
                if (dim.number == 2) shape = dim.content, has_shape = true;
            }
        }
    }
    for (*found = 0; *found < count && !same_text(specs[*found].name, name);) ++*found;
    if (*found == count) return refused(check, "a name that the manifest does not have", "ValueInfoProto");
    const tensor_spec *spec = &specs[*found];
    if (elements != (uint64_t)spec->dtype) return refused(check, "another type than the manifest's", "ValueInfoProto");
    if (!has_shape) return TIPSC_OK;
    size_t axis = 0;
    for (; next_field(&shape, &dim) > 0; axis++) {
        uint64_t length = 0;
        bool is_static = true;
        bytes rest = dim.content;
        while (next_field(&rest, &inner) > 0) {
            if (inner.number == 1) length = inner.value;
            if (inner.number == 2) is_static = false;
        }
        if (!is_static || axis >= spec->rank || length != (uint64_t)length_for(spec, axis, batch))
            return refused(check, "another shape than the manifest's", "ValueInfoProto");
    }
    return axis == spec->rank ? TIPSC_OK : refused(check, "another shape than the manifest's", "ValueInfoProto");
}

static tipsc_code values_fit(const check *check, bytes graph, uint32_t number, const tensor_spec *specs, size_t count,
                             int64_t batch) {
    size_t matched = 0;
    uint64_t seen[64] = {0}; /* a bit for each */
    field value;
    while (next_field(&graph, &value) > 0) {
        if (value.number != number) continue;
        size_t found;
        TRY(value_fits(check, value.content, specs, count, batch, &found));
        if (found < 64 * 64) {
            uint64_t bit = UINT64_C(1) << found % 64;
            if (seen[found / 64] & bit) return refused(check, "an input or output is there twice", "GraphProto");
            seen[found / 64] |= bit;
        } else {
            return refused(check, "more inputs or outputs than 4096", "GraphProto");
        }
        matched++;
    }
    return matched == count ? TIPSC_OK : refused(check, "an input or output is missing", "GraphProto");
}

tipsc_code check_graph(const graph *graph, const manifest *manifest, const path_entry *path, uint64_t weights,
                       tipsc_error *error) {
    check check = {path->id.text, weights, error};
    bytes model = {graph->data, graph->length}, inner = {NULL, 0};
    field field;
    TRY(check_message(&check, model, &MODEL));
    for (bytes rest = model; next_field(&rest, &field) > 0;)
        if (field.number == 7) inner = field.content;
    if (!inner.data) return refused(&check, "there is no graph", "ModelProto");
    const char *wrong = NULL;
    if (!constants_are_bounded(inner, &wrong)) return wrong ? refused(&check, wrong, "GraphProto") : no_memory(error);
    TRY(values_fit(&check, inner, 11, manifest->inputs, manifest->input_count, path->batch));
    return values_fit(&check, inner, 12, manifest->outputs, manifest->output_count, path->batch);
}
