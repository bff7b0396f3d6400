/* The bytes of an engine: of a file, which another process may be changing, or in memory.
 *
 * A file is checked by reading it. A map would do, but when the file is cut short behind it, looking at
 * what is gone ends the process (SIGBUS); a read then is merely short. */
#ifndef TIPSC_SOURCE_H
#define TIPSC_SOURCE_H

#include <stdbool.h>
#include <time.h>

#include "error.h"
#include "sha256.h"

typedef struct source {
    const char *where; /* for errors */
    const uint8_t *memory; /* NULL: of a file */
    int descriptor;        /* -1: in memory */
    uint64_t size;
    struct timespec written;
} source;

tipsc_code source_file(source *source, const char *file, tipsc_error *error);
void source_memory(source *source, const void *data, size_t bytes);
void source_close(source *source);

/* Exactly so many bytes from an offset; they lie within the size. */
tipsc_code source_read(const source *source, uint64_t offset, void *into, size_t bytes, tipsc_error *error);
tipsc_code source_sha256(const source *source, uint64_t offset, uint64_t bytes, uint8_t digest[32],
                         tipsc_error *error);
/* The same, without a copy where it is in memory; `owned` is to be freed. */
tipsc_code source_view(const source *source, uint64_t offset, uint64_t bytes, const uint8_t **data, void **owned,
                       tipsc_error *error);
/* A copy to a descriptor, part by part. */
tipsc_code source_copy(const source *source, uint64_t offset, uint64_t bytes, int to, tipsc_error *error);
/* TIPSC_DAMAGED if somebody wrote to the file since it was opened. */
tipsc_code source_unchanged(const source *source, tipsc_error *error);

#endif
