/* From bytes to a pointer; keys and values are the caller's. */
#ifndef TIPSC_MAP_H
#define TIPSC_MAP_H

#include <stdbool.h>
#include <stddef.h>

#include "arena.h"

typedef struct map_entry map_entry;
struct map_entry {
    const void *key;
    size_t length;
    void *value;
    map_entry *next;  /* of the same slot */
    map_entry *later; /* in the order in which they came */
};

typedef struct map {
    arena *arena; /* that entries lie in */
    map_entry **slots;
    size_t slot_count, count;
    map_entry *first, *last;
} map;

/* Room for about so many; false if there is no memory. */
bool map_make(map *map, arena *arena, size_t expected);
map_entry *map_find(const map *map, const void *key, size_t length);
/* The entry of the key, a new one without value if there was none; NULL if there is no memory. */
map_entry *map_at(map *map, const void *key, size_t length);

#endif
