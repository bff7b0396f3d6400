#include "flatbuffer.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "seen.h"

enum { MOST_TABLES = 1 << 19, OFFSET = 4 };

static const uint8_t WIDTHS[] = {[U8] = 1, [I8] = 1, [I32] = 4, [U32] = 4, [F32] = 4, [I64] = 8, [U64] = 8};

/* Little-endian, whatever the machine is and however the data is aligned. */
static uint64_t bits_at(const uint8_t *at, unsigned width) {
    uint64_t bits = 0;
    for (unsigned i = 0; i < width; i++) bits |= (uint64_t)at[i] << 8 * i;
    return bits;
}

static int64_t number_at(const uint8_t *at, unsigned type) {
    uint64_t bits = bits_at(at, WIDTHS[type]);
    if (type == I8) return (int8_t)bits;
    if (type == I32) return (int32_t)bits;
    return (int64_t)bits;
}

static uint64_t vtable_of(const flatbuffer *buffer, uint64_t table) {
    return table - (uint64_t)(int64_t)(int32_t)bits_at(buffer->data + table, 4);
}

/* ---- The check ----------------------------------------------------------------------------------- */

typedef struct check {
    const flatbuffer *buffer;
    seen known;       /* tables, vtables and vectors that were counted */
    uint64_t left;    /* bytes that nothing has been read from, if no parts overlap */
    size_t tables;
    const char *wrong; /* NULL: no memory is left */
    uint64_t wrong_at;
} check;

static bool bad(check *check, const char *what, uint64_t at) {
    check->wrong = what;
    check->wrong_at = at;
    return false;
}

static bool take(check *check, uint64_t count, uint64_t at) {
    if (count > check->left) return bad(check, "parts that overlap", at);
    check->left -= count;
    return true;
}

/* A place as a thing of a kind: what is read as two kinds counts twice. */
enum { AS_VTABLE = 1, AS_TABLE, AS_TABLES, AS_NUMBERS, AS_BYTES, AS_TEXT };

static bool is_new(check *check, uint64_t at, unsigned as, unsigned inner, bool *fresh) {
    if (seen_add(&check->known, at << 12 | as << 8 | inner, fresh)) return true;
    check->wrong = NULL;
    return false;
}

/* Where the offset at `at`, which is in the file, leads to; room for four bytes is checked. */
static bool follow(check *check, uint64_t at, uint64_t *target) {
    *target = at + bits_at(check->buffer->data + at, OFFSET);
    if (*target == at || *target % OFFSET || *target > check->buffer->size - OFFSET)
        return bad(check, "an offset that leads nowhere", at);
    return true;
}

static bool check_table(check *check, uint64_t at, unsigned table);

static bool check_vector(check *check, const fb_slot *slot, uint64_t at) {
    static const uint8_t as[] = {[SLOT_NUMBERS] = AS_NUMBERS, [SLOT_BYTES] = AS_BYTES, [SLOT_TEXT] = AS_TEXT,
                                 [SLOT_TABLES] = AS_TABLES};
    const flatbuffer *buffer = check->buffer;
    bool fresh;
    if (!is_new(check, at, as[slot->kind], slot->kind == SLOT_TABLES ? slot->table : slot->number, &fresh)) return false;
    if (!fresh) return true;
    uint64_t count = bits_at(buffer->data + at, 4), first = at + 4;
    unsigned width = slot->kind == SLOT_NUMBERS ? WIDTHS[slot->number] : slot->kind == SLOT_TABLES ? OFFSET : 1;
    uint64_t end = first + count * width;
    if (first % width || end + (slot->kind == SLOT_TEXT) > buffer->size) return bad(check, "a vector beyond its end", at);
    if (!take(check, end - at, at)) return false;
    if (slot->kind == SLOT_TEXT && (buffer->data[end] || !is_utf8(buffer->data + first, (size_t)count)))
        return bad(check, "what is no text", at);
    for (uint64_t i = 0, target; slot->kind == SLOT_TABLES && i < count; i++)
        if (!follow(check, first + OFFSET * i, &target) || !check_table(check, target, slot->table)) return false;
    return true;
}

static bool check_vtable(check *check, uint64_t at) {
    const flatbuffer *buffer = check->buffer;
    bool fresh;
    if (at % 2 || at > buffer->size - 4) return bad(check, "a vtable out of place", at); /* below 0 is far above */
    if (!is_new(check, at, AS_VTABLE, 0, &fresh)) return false;
    if (!fresh) return true;
    uint64_t own = bits_at(buffer->data + at, 2), length = bits_at(buffer->data + at + 2, 2);
    if (own < 4 || own % 2 || own > buffer->size - at || length < 4) return bad(check, "a vtable of a wrong size", at);
    return take(check, own, at);
}

/* One slot whose entry in the vtable is not 0; `kind` is that of a union that stands there. */
static bool check_slot(check *check, const fb_slot *slot, uint64_t at, uint64_t entry, uint64_t length, int64_t kind) {
    const fb_schema *schema = check->buffer->schema;
    unsigned width = slot->kind == SLOT_NUMBER ? WIDTHS[slot->number] : OFFSET;
    uint64_t place = at + entry, target;
    if (entry < 4 || entry + width > length || place % width) return bad(check, "a field out of place", at);
    if (slot->kind == SLOT_NUMBER) return true;
    if (!follow(check, place, &target)) return false;
    if (slot->kind == SLOT_TABLE) return check_table(check, target, slot->table);
    if (slot->kind != SLOT_UNION) return check_vector(check, slot, target);
    if ((uint64_t)kind >= schema->union_count || !schema->unions[kind]) return bad(check, "what tipsc does not write", at);
    return check_table(check, target, schema->unions[kind]);
}

/* Recurses as deep as the schema does: no table holds itself. */
static bool check_table(check *check, uint64_t at, unsigned table) {
    const flatbuffer *buffer = check->buffer;
    const fb_table *known = &buffer->schema->tables[table];
    bool fresh;
    if (!is_new(check, at, AS_TABLE, table, &fresh)) return false;
    if (!fresh) return true;
    if (++check->tables > MOST_TABLES) return bad(check, "more tables than any model has", at);
    uint64_t vtable = vtable_of(buffer, at);
    if (!check_vtable(check, vtable)) return false;
    uint64_t entries = bits_at(buffer->data + vtable, 2) / 2 - 2, length = bits_at(buffer->data + vtable + 2, 2);
    if (length > buffer->size - at) return bad(check, "a table beyond its end", at);
    if (!take(check, length, at)) return false;
    int64_t before = 0; /* the number in the slot before */
    for (uint64_t i = 0; i < entries || i < known->count; i++) {
        uint64_t entry = i < entries ? bits_at(buffer->data + vtable + 4 + 2 * i, 2) : 0;
        const fb_slot *slot = i < known->count ? &known->slots[i] : NULL;
        if (!slot || slot->kind == SLOT_NONE) {
            if (entry) return bad(check, "what tipsc does not write", at);
            continue;
        }
        if (!entry && slot->kind == SLOT_UNION && before) return bad(check, "a union that is not there", at);
        if (entry && !check_slot(check, slot, at, entry, length, before)) return false;
        before = slot->kind != SLOT_NUMBER ? 0 : entry ? number_at(buffer->data + at + entry, slot->number) : slot->value;
    }
    return true;
}

tipsc_code fb_check(const flatbuffer *buffer, unsigned root, const char *identifier, const char *where,
                    tipsc_error *error) {
    check check = {.buffer = buffer, .left = buffer->size};
    uint64_t at;
    if (buffer->size < 8 || memcmp(buffer->data + 4, identifier, 4) != 0 || buffer->size >> 48)
        return fail(error, TIPSC_DAMAGED, REBUILD, "%s: not a flatbuffer of the kind %s", where, identifier);
    bool sound = follow(&check, 0, &at) && check_table(&check, at, root);
    seen_free(&check.known);
    if (sound) return TIPSC_OK;
    if (!check.wrong) return no_memory(error);
    return fail(error, TIPSC_DAMAGED, REBUILD, "%s: the model is not well-formed: %s (byte %llu)", where, check.wrong,
                (unsigned long long)check.wrong_at);
}

/* ---- What was taken ------------------------------------------------------------------------------ */

static uint64_t followed(const flatbuffer *buffer, uint64_t at) { return at + bits_at(buffer->data + at, OFFSET); }

/* Where the field of a slot is; 0: it is left out. */
static uint64_t place_of(const flatbuffer *buffer, fb_row row, unsigned slot) {
    if (!row.at) return 0;
    const uint8_t *vtable = buffer->data + vtable_of(buffer, row.at);
    uint64_t entry = 4 + 2 * slot < bits_at(vtable, 2) ? bits_at(vtable + 4 + 2 * slot, 2) : 0;
    return entry ? row.at + entry : 0;
}

fb_row fb_root(const flatbuffer *buffer, unsigned root) { return (fb_row){followed(buffer, 0), root}; }

int64_t fb_number(const flatbuffer *buffer, fb_row row, unsigned slot) {
    const fb_slot *known = &buffer->schema->tables[row.table].slots[slot];
    uint64_t place = place_of(buffer, row, slot);
    return place ? number_at(buffer->data + place, known->number) : known->value;
}

fb_vector fb_several(const flatbuffer *buffer, fb_row row, unsigned slot) {
    const fb_slot *known = &buffer->schema->tables[row.table].slots[slot];
    uint64_t place = place_of(buffer, row, slot);
    if (!place) return (fb_vector){0, 0, known->number, known->table};
    uint64_t at = followed(buffer, place);
    return (fb_vector){at + 4, (uint32_t)bits_at(buffer->data + at, 4), known->number, known->table};
}

text fb_text(const flatbuffer *buffer, fb_row row, unsigned slot) {
    fb_vector found = fb_several(buffer, row, slot);
    return found.first ? (text){(const char *)buffer->data + found.first, found.count} : (text){"", 0};
}

fb_row fb_inner(const flatbuffer *buffer, fb_row row, unsigned slot) {
    const fb_slot *known = &buffer->schema->tables[row.table].slots[slot];
    uint64_t place = place_of(buffer, row, slot);
    unsigned table = known->table;
    if (known->kind == SLOT_UNION) table = place ? buffer->schema->unions[fb_number(buffer, row, slot - 1)] : 0;
    return (fb_row){place ? followed(buffer, place) : 0, table};
}

int64_t fb_number_at(const flatbuffer *buffer, const fb_vector *several, size_t place) {
    return number_at(buffer->data + several->first + (uint64_t)place * WIDTHS[several->number], several->number);
}

float fb_float_at(const flatbuffer *buffer, const fb_vector *several, size_t place) {
    uint32_t bits = (uint32_t)bits_at(buffer->data + several->first + (uint64_t)place * sizeof bits, sizeof bits);
    float found;
    memcpy(&found, &bits, sizeof found);
    return found;
}

fb_row fb_row_at(const flatbuffer *buffer, const fb_vector *several, size_t place) {
    return (fb_row){followed(buffer, several->first + (uint64_t)place * OFFSET), several->table};
}
