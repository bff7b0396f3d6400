/* Tensors by content, each stored once; one that begins another is stored within it. */
#ifndef TIPSC_BLOB_H
#define TIPSC_BLOB_H

#include "map.h"
#include "writer.h"

typedef struct blob {
    writer content;
    arena arena;
    map known; /* by the first bytes, lists of tensors */
} blob;

bool blob_make(blob *blob);
/* Stores a tensor if it is not there yet; its offset. Add the longest first, so that others can begin them. */
bool blob_add(blob *blob, const uint8_t *tensor, size_t length, uint64_t *offset);
void blob_free(blob *blob);

#endif
