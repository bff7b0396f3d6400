/* A flatbuffer, checked by a schema and then read in place: docs/engine-format.md, "The flatbuffer".
 *
 * fb_check follows no offset before it is checked: bounds, alignment, the ends of texts, and that parts do not
 * overlap more than sharing one part does, so that a few bytes cannot stand for much work. All other functions
 * are for what it has taken, and check nothing again. */
#ifndef TIPSC_FLATBUFFER_H
#define TIPSC_FLATBUFFER_H

#include <stdint.h>

#include "error.h"
#include "manifest.h"

typedef enum { SLOT_NONE, SLOT_NUMBER, SLOT_NUMBERS, SLOT_BYTES, SLOT_TEXT, SLOT_TABLE, SLOT_TABLES, SLOT_UNION } slot_kind;
typedef enum { U8, I8, I32, U32, F32, I64, U64 } number_type;

/* What a slot of a table holds. SLOT_NONE: it has to be empty. */
typedef struct fb_slot {
    uint8_t kind, number, table; /* number: a number_type, of one or of several; table: of one or of several */
    int8_t value;                /* of a number that is left out */
    uint8_t name;                /* by which it is found in tables of several kinds */
} fb_slot;

typedef struct fb_table {
    const fb_slot *slots;
    size_t count;
} fb_table;

/* A schema in which no table may hold itself. */
typedef struct fb_schema {
    const fb_table *tables;
    const uint8_t *unions; /* what the number before a union stands for; 0: nothing */
    size_t union_count;
} fb_schema;

typedef struct flatbuffer {
    const uint8_t *data;
    uint64_t size; /* of the file; the flatbuffer may be shorter */
    const fb_schema *schema;
} flatbuffer;

/* A table; `at` 0: it is not there. */
typedef struct fb_row {
    uint64_t at;
    unsigned table;
} fb_row;

/* Several of a kind; `first` is where the first of them lies. */
typedef struct fb_vector {
    uint64_t first;
    uint32_t count;
    uint8_t number, table;
} fb_vector;

/* Checks all that can be reached from the root, which is of table `root`. `where` is for errors. */
tipsc_code fb_check(const flatbuffer *buffer, unsigned root, const char *identifier, const char *where,
                    tipsc_error *error);

fb_row fb_root(const flatbuffer *buffer, unsigned root);
/* A number, extended to 64 bits; those of 64 without a sign and floats as their bits. */
int64_t fb_number(const flatbuffer *buffer, fb_row row, unsigned slot);
/* Empty where the slot is. */
fb_vector fb_several(const flatbuffer *buffer, fb_row row, unsigned slot);
text fb_text(const flatbuffer *buffer, fb_row row, unsigned slot);
/* Of a table or union. */
fb_row fb_inner(const flatbuffer *buffer, fb_row row, unsigned slot);

/* Elements of a vector, by a place below its count. */
int64_t fb_number_at(const flatbuffer *buffer, const fb_vector *several, size_t place);
float fb_float_at(const flatbuffer *buffer, const fb_vector *several, size_t place);
fb_row fb_row_at(const flatbuffer *buffer, const fb_vector *several, size_t place);

#endif
