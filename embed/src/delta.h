/* A delta, as docs/engine-format.md describes it: pieces of a new file, each copied from an old one or carried
 * along. Every bound is checked before it is used, and what is carried along is unpacked as it is needed. */
#ifndef TIPSC_DELTA_H
#define TIPSC_DELTA_H

#include <zlib.h>

#include "source.h"

typedef struct piece {
    uint64_t place, length; /* in the old file, or CARRIED; bytes */
} piece;

#define CARRIED UINT64_MAX

enum { DELTA_PART = 1 << 16 };

typedef struct delta {
    source source;
    uint64_t base_length, target_length, carried_length;
    uint8_t base_sha256[32], target_sha256[32];
    piece *pieces;
    size_t piece_count;
    z_stream stream;
    bool has_stream;
    uint64_t at; /* of the delta, where the stream was read to */
    uint8_t packed[DELTA_PART];
} delta;

/* Reads all but what is carried along. */
tipsc_code delta_open(delta *delta, const char *file, tipsc_error *error);
/* The next bytes of what is carried along, exactly so many. */
tipsc_code delta_carried(delta *delta, void *into, size_t bytes, tipsc_error *error);
/* That nothing is left. */
tipsc_code delta_end(delta *delta, tipsc_error *error);
void delta_close(delta *delta);

#endif
