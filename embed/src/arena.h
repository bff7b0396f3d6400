/* Memory that is given back all at once. */
#ifndef TIPSC_ARENA_H
#define TIPSC_ARENA_H

#include <stddef.h>

typedef struct arena_chunk arena_chunk;
typedef struct arena {
    arena_chunk *last;
} arena;

/* `count` times `bytes`, zeroed; NULL if there is no memory, or the product is too large. */
void *arena_take(arena *arena, size_t count, size_t bytes);
/* A copy with a zero byte behind it. */
char *arena_text(arena *arena, const char *text, size_t length);
void arena_free(arena *arena);

#endif
