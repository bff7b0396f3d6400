#include "blob.h"

#include <string.h>

enum { ALIGNMENT = 64 }; /* the widest vector load, and a cache line */

typedef struct stored {
    uint64_t offset;
    size_t length;
    struct stored *next;
} stored;

bool blob_make(blob *blob) {
    *blob = (struct blob){.content = {0}};
    return map_make(&blob->known, &blob->arena, 4096);
}

bool blob_add(blob *blob, const uint8_t *tensor, size_t length, uint64_t *offset) {
    size_t key = length < ALIGNMENT ? length : ALIGNMENT;
    char *kept = arena_text(&blob->arena, (const char *)tensor, key);
    map_entry *entry = kept ? map_at(&blob->known, kept, key) : NULL;
    if (!entry) return false;
    stored **last = (stored **)&entry->value;
    for (; *last; last = &(*last)->next)
        if ((*last)->length >= length && !memcmp(blob->content.data + (*last)->offset, tensor, length)) {
            *offset = (*last)->offset;
            return true;
        }
    static const uint8_t zeros[ALIGNMENT] = {0};
    put(&blob->content, zeros, (ALIGNMENT - blob->content.length % ALIGNMENT) % ALIGNMENT);
    *last = arena_take(&blob->arena, 1, sizeof **last);
    if (!*last) return false;
    **last = (stored){blob->content.length, length, NULL};
    *offset = blob->content.length;
    put(&blob->content, tensor, length);
    return !blob->content.failed;
}

void blob_free(blob *blob) {
    writer_free(&blob->content);
    arena_free(&blob->arena);
}
