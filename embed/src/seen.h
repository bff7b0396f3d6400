/* Numbers that were seen. */
#ifndef TIPSC_SEEN_H
#define TIPSC_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct seen {
    uint64_t *slots; /* of a power of two; 0: free */
    size_t slot_count, count;
} seen;

/* Adds a number that is not 0; `fresh` says whether it was not there. False if there is no memory. */
bool seen_add(seen *seen, uint64_t number, bool *fresh);
void seen_free(seen *seen);

#endif
