#include "map.h"

#include <stdint.h>
#include <string.h>

static size_t slot_of(const map *map, const void *key, size_t length) {
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < length; i++) hash = (hash ^ ((const unsigned char *)key)[i]) * 1099511628211u;
    return (hash ^ hash >> 32) & (map->slot_count - 1);
}

bool map_make(map *map, arena *arena, size_t expected) {
    *map = (struct map){.arena = arena, .slot_count = 16};
    while (map->slot_count < expected && map->slot_count < (size_t)1 << 24) map->slot_count *= 2;
    map->slots = arena_take(arena, map->slot_count, sizeof *map->slots);
    return map->slots != NULL;
}

map_entry *map_find(const map *map, const void *key, size_t length) {
    map_entry *entry = map->slots[slot_of(map, key, length)];
    while (entry && (entry->length != length || (length && memcmp(entry->key, key, length) != 0)))
        entry = entry->next;
    return entry;
}

map_entry *map_at(map *map, const void *key, size_t length) {
    map_entry *entry = map_find(map, key, length);
    if (entry) return entry;
    entry = arena_take(map->arena, 1, sizeof *entry);
    if (!entry) return NULL;
    size_t slot = slot_of(map, key, length);
    *entry = (map_entry){.key = key, .length = length, .next = map->slots[slot]};
    map->slots[slot] = entry;
    if (map->last) map->last->later = entry;
    else map->first = entry;
    map->last = entry;
    map->count++;
    return entry;
}
