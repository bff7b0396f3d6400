#include "external.h"

#include <string.h>

enum { MOST_DEPTH = 64, MOST_AXES = 32 };

/* What a message is, as far as tensors lie in it. */
typedef enum kind { MODEL, GRAPH, NODE, ATTRIBUTE, TENSOR, OTHER } kind;

static kind inner_of(kind outer, uint32_t number) {
    switch (outer) {
        case MODEL: return number == 7 ? GRAPH : OTHER;
        case GRAPH: return number == 1 ? NODE : number == 5 ? TENSOR : OTHER;
        case NODE: return number == 5 ? ATTRIBUTE : OTHER;
        case ATTRIBUTE: return number == 5 || number == 10 ? TENSOR : number == 6 || number == 11 ? GRAPH : OTHER;
        default: return OTHER;
    }
}

static bool number_of(bytes text, uint64_t *value) {
    if (text.length < 1 || text.length > 18) return false;
    *value = 0;
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') return false;
        *value = *value * 10 + (text.data[i] - '0');
    }
    return true;
}

/* Notes what one entry of `external_data` says. */
static bool read_entry(bytes entry, reference *reference) {
    bytes key = {NULL, 0}, value = {NULL, 0};
    field part;
    int state;
    while ((state = next_field(&entry, &part)) > 0) *(part.number == 1 ? &key : &value) = part.content;
    if (state < 0) return false;
    if (key.length == 6 && !memcmp(key.data, "offset", 6)) return number_of(value, &reference->offset);
    if (key.length == 6 && !memcmp(key.data, "length", 6)) return number_of(value, &reference->length);
    return true;
}

static void put_message(writer *out, uint32_t number, const void *data, size_t length) {
    put_varint(out, (uint64_t)number << 3 | WIRE_BYTES);
    put_varint(out, length);
    put(out, data, length);
}

static void put_entry(writer *out, const char *key, const char *text, size_t length) {
    writer body = {0};
    put_message(&body, 1, key, strlen(key));
    put_message(&body, 2, text, length);
    put_message(out, 13, body.data, body.length);
    out->failed |= body.failed;
    writer_free(&body);
}

static void put_count(writer *out, const char *key, uint64_t number) {
    writer digits = {0};
    put_number(&digits, number);
    put_entry(out, key, (const char *)digits.data, digits.length);
    out->failed |= digits.failed;
    writer_free(&digits);
}

typedef struct rewrite {
    const char *location;
    place place;
    void *user;
} rewrite;

static bool rewritten(const rewrite *rewrite, bytes message, kind kind, int depth, writer *out) {
    reference from = {0, UINT64_MAX};
    bool external = false;
    field part;
    int state;
    if (depth > MOST_DEPTH) return false;
    while ((state = next_field(&message, &part)) > 0) {
        enum kind inner = part.wire == WIRE_BYTES ? inner_of(kind, part.number) : OTHER;
        if (kind == TENSOR && part.number == 13 && part.wire == WIRE_BYTES) {
            external = true;
            if (!read_entry(part.content, &from)) return false;
        } else if (inner != OTHER) {
            writer body = {0};
            bool ok = rewritten(rewrite, part.content, inner, depth + 1, &body) && !body.failed;
            put_message(out, part.number, body.data, body.length);
            writer_free(&body);
            if (!ok) return false;
        } else {
            put(out, part.whole.data, part.whole.length);
        }
    }
    if (state < 0) return false;
    if (!external) return true;
    uint64_t offset;
    if (from.length == UINT64_MAX || !rewrite->place(rewrite->user, from, &offset)) return false;
    put_entry(out, "location", rewrite->location, strlen(rewrite->location));
    put_count(out, "offset", offset);
    put_count(out, "length", from.length);
    return true;
}

bool rewrite_external(bytes model, const char *location, place place, void *user, writer *out) {
    rewrite rewrite = {location, place, user};
    return rewritten(&rewrite, model, MODEL, 0, out) && !out->failed;
}

static bool read_initializer(bytes tensor, initializer *found, bool *external) {
    field part;
    int state;
    *found = (initializer){.data = {0, UINT64_MAX}};
    *external = false;
    while ((state = next_field(&tensor, &part)) > 0) {
        if (part.number == 13 && part.wire == WIRE_BYTES) {
            *external = true;
            if (!read_entry(part.content, &found->data)) return false;
        } else if (part.number == 8) {
            found->name = part.content;
        } else if (part.number == 2) {
            found->element_type = part.value;
        } else if (part.number == 1) {
            bytes rest = part.content;
            bool shortest;
            uint64_t value = part.value;
            while (part.wire == WIRE_VARINT || rest.length) {
                if (part.wire == WIRE_BYTES && !next_varint(&rest, &value, &shortest)) return false;
                if (found->rank == MOST_AXES) return false;
                found->shape[found->rank++] = value;
                if (part.wire == WIRE_VARINT) break;
            }
        }
    }
    return state == 0 && (!*external || found->data.length != UINT64_MAX);
}

bool external_initializers(bytes model, see_initializer see, void *user) {
    field outer, inner;
    int state, inner_state = 0;
    while ((state = next_field(&model, &outer)) > 0) {
        if (outer.number != 7 || outer.wire != WIRE_BYTES) continue;
        bytes graph = outer.content;
        while ((inner_state = next_field(&graph, &inner)) > 0) {
            if (inner.number != 5 || inner.wire != WIRE_BYTES) continue;
            initializer found;
            bool external;
            if (!read_initializer(inner.content, &found, &external)) return false;
            if (external && !see(user, &found)) return false;
        }
        if (inner_state < 0) return false;
    }
    return state == 0;
}
