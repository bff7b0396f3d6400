/* Bytes that grow, and JSON written as tipsc writes it: compact, in ASCII. */
#ifndef TIPSC_WRITER_H
#define TIPSC_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct writer {
    uint8_t *data;
    size_t length, room;
    bool failed; /* there was no memory */
} writer;

void put(writer *writer, const void *data, size_t bytes);
void put_text(writer *writer, const char *text);
void put_number(writer *writer, uint64_t number);
/* In quotation marks, with escapes for all that is not ASCII. `text` is UTF-8. */
void put_json(writer *writer, const char *text, size_t length);
void put_varint(writer *writer, uint64_t value);
void writer_free(writer *writer);

#endif
