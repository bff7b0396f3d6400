/* References from a model of ONNX to external data: list them, or point them elsewhere. Everything else is
 * copied untouched. The model is one that ONNX Runtime wrote, so subgraphs are looked into as well. */
#ifndef TIPSC_EXTERNAL_H
#define TIPSC_EXTERNAL_H

#include "protobuf.h"
#include "writer.h"

/* Bytes `offset` to `offset` + `length` of a file. */
typedef struct reference {
    uint64_t offset, length;
} reference;

/* Where the bytes of a reference are now, in the file that all are to be in; false: it cannot be said. */
typedef bool (*place)(void *user, reference from, uint64_t *offset);

/* The same model with all references into the file `location`. */
bool rewrite_external(bytes model, const char *location, place place, void *user, writer *out);

/* A constant of the outermost graph whose bytes are external. */
typedef struct initializer {
    bytes name;
    uint64_t element_type;
    size_t rank;
    uint64_t shape[32];
    reference data;
} initializer;

/* Called for each in the order of the file; false ends it. */
typedef bool (*see_initializer)(void *user, const initializer *initializer);
bool external_initializers(bytes model, see_initializer see, void *user);

#endif
