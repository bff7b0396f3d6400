#include "seen.h"

#include <stdlib.h>

static uint64_t *slot_of(const seen *seen, uint64_t number) {
    uint64_t hash = number * 0x9e3779b97f4a7c15u;
    size_t at = (size_t)(hash ^ hash >> 32) & (seen->slot_count - 1);
    while (seen->slots[at] && seen->slots[at] != number) at = (at + 1) & (seen->slot_count - 1);
    return &seen->slots[at];
}

/* Twice the room, at most half of it used. */
static bool grow(seen *seen) {
    struct seen larger = {.slot_count = seen->slot_count ? 2 * seen->slot_count : 256, .count = seen->count};
    larger.slots = calloc(larger.slot_count, sizeof *larger.slots);
    if (!larger.slots) return false;
    for (size_t i = 0; i < seen->slot_count; i++)
        if (seen->slots[i]) *slot_of(&larger, seen->slots[i]) = seen->slots[i];
    free(seen->slots);
    *seen = larger;
    return true;
}

bool seen_add(seen *seen, uint64_t number, bool *fresh) {
    if (2 * seen->count >= seen->slot_count && !grow(seen)) return false;
    uint64_t *slot = slot_of(seen, number);
    *fresh = !*slot;
    seen->count += *fresh;
    *slot = number;
    return true;
}

void seen_free(seen *seen) {
    free(seen->slots);
    *seen = (struct seen){0};
}
