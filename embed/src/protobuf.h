/* The wire format of protocol buffers, version 3: fields one after the other, every length checked. */
#ifndef TIPSC_PROTOBUF_H
#define TIPSC_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct bytes {
    const uint8_t *data;
    size_t length;
} bytes;

/* Wire types. */
enum { WIRE_VARINT = 0, WIRE_EIGHT = 1, WIRE_BYTES = 2, WIRE_FOUR = 5 };

typedef struct field {
    uint32_t number;
    int wire;
    uint64_t value; /* of a varint */
    bytes content;  /* of all others */
    bytes whole;    /* with its tag */
    bool shortest;  /* tag and length are written in the shortest way */
} field;

/* Reads a varint and moves on; false if it runs over, or has more than 64 bits. */
bool next_varint(bytes *rest, uint64_t *value, bool *shortest);

/* 1: the next field, `rest` moves on; 0: there is none; -1: not well-formed. */
int next_field(bytes *rest, field *field);

#endif
