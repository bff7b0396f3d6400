/* From parsed JSON to C, strictly: known keys, and values of the type that is wanted. */
#ifndef TIPSC_DECODE_H
#define TIPSC_DECODE_H

#include "manifest.h"

/* A key that an object may have. */
typedef struct wanted {
    const char *key;
    bool optional;
    const json *found; /* filled; NULL: it is missing */
} wanted;

/* Finds the keys of an object; refuses others, and a missing one that is not optional. `keys` ends with
 * an entry without a key. */
tipsc_code object_of(const json *value, wanted *keys, const char *where, tipsc_error *error);
tipsc_code list_in(const json *value, const char *where, tipsc_error *error);
tipsc_code text_in(const json *value, text *into, const char *where, tipsc_error *error);
tipsc_code integer_in(const json *value, int64_t *into, const char *where, tipsc_error *error);
/* An integer of at least 0. */
tipsc_code count_in(const json *value, int64_t *into, const char *where, tipsc_error *error);
tipsc_code number_in(const json *value, double *into, const char *where, tipsc_error *error);
/* An object whose values are all texts. */
tipsc_code texts_in(const json *value, const char *where, tipsc_error *error);
bool is_text(text text, const char *other);
bool same_text(text a, text b);

#endif
