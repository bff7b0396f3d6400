#include "arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct arena_chunk {
    arena_chunk *before;
    size_t used, size;
    max_align_t bytes[];
};

enum { CHUNK = 1 << 14 };

void *arena_take(arena *arena, size_t count, size_t bytes) {
    if (bytes && count > (SIZE_MAX / 4) / bytes) return NULL;
    size_t wanted = (count * bytes + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    if (!wanted) wanted = sizeof(max_align_t);
    arena_chunk *chunk = arena->last;
    if (!chunk || chunk->size - chunk->used < wanted) {
        size_t size = wanted > CHUNK ? wanted : CHUNK;
        chunk = calloc(1, sizeof *chunk + size);
        if (!chunk) return NULL;
        chunk->before = arena->last;
        chunk->size = size;
        arena->last = chunk;
    }
    void *found = (char *)chunk->bytes + chunk->used;
    chunk->used += wanted;
    return found;
}

char *arena_text(arena *arena, const char *text, size_t length) {
    char *copy = arena_take(arena, length + 1, 1);
    if (copy && length) memcpy(copy, text, length);
    return copy;
}

void arena_free(arena *arena) {
    while (arena->last) {
        arena_chunk *before = arena->last->before;
        free(arena->last);
        arena->last = before;
    }
}
