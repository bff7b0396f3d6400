#include "front.h"

#include <stdlib.h>
#include <string.h>

#include "pick.h"

static double value_of(const path_entry *path) {
    if (!path->has_quality) return (double)path->macs;
    return path->higher ? path->quality : -path->quality;
}

/* Whether `a` is better, whatever it takes. */
static bool is_better(const path_entry *a, const path_entry *b) {
    if (a->has_quality != b->has_quality) return a->has_quality;
    return value_of(a) > value_of(b);
}

static int by_speed(const void *a, const void *b) {
    const path_entry *one = *(const path_entry *const *)a, *other = *(const path_entry *const *)b;
    if (one->p50_ms != other->p50_ms) return one->p50_ms < other->p50_ms ? -1 : 1;
    if (one->macs != other->macs) return one->macs < other->macs ? -1 : 1;
    return strcmp(one->id.text, other->id.text);
}

/* Of equally fast ones the best first; then that with the fewest MACs, and the first by its id. */
static int best_of_the_fastest_first(const void *a, const void *b) {
    const path_entry *one = *(const path_entry *const *)a, *other = *(const path_entry *const *)b;
    if (one->p50_ms != other->p50_ms) return one->p50_ms < other->p50_ms ? -1 : 1;
    if (is_better(one, other)) return -1;
    if (is_better(other, one)) return 1;
    return by_speed(a, b);
}

void sort_by_speed(const path_entry **paths, size_t count) { qsort(paths, count, sizeof *paths, by_speed); }

static size_t number_of(const path_entry *const *paths, const path_entry *path) {
    size_t number = 0;
    while (paths[number] != path) number++;
    return number;
}

/* Puts a path at the end. A slower one is not expected to be late less often than a faster one. */
static void append(place *places, size_t count, const path_entry *const *paths, const path_entry *path,
                   uint32_t percentile) {
    double slow = latency_ms(path, percentile);
    if (count && places[count - 1].slow_ms > slow) slow = places[count - 1].slow_ms;
    places[count] = (place){.path = number_of(paths, path), .median_ms = path->p50_ms, .slow_ms = slow};
}

size_t front_make(place *front, const path_entry *const *paths, size_t count, const path_entry **sorted,
                  uint32_t percentile) {
    const path_entry *last = NULL;
    size_t found = 0;
    memcpy(sorted, paths, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, best_of_the_fastest_first);
    for (size_t i = 0; i < count; i++) {
        if (last && !is_better(sorted[i], last)) continue;
        last = sorted[i];
        append(front, found++, paths, last, percentile);
    }
    return found;
}

size_t costed_make(place *costed, const path_entry *const *paths, size_t count, const path_entry **sorted,
                   uint32_t percentile) {
    size_t found = 0;
    memcpy(sorted, paths, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, best_of_the_fastest_first);
    for (size_t i = 0; i < count; i++)
        if (sorted[i]->has_energy) append(costed, found++, paths, sorted[i], percentile);
    return found;
}

size_t affordable(place *front, const place *costed, size_t count, const path_entry *const *paths, double cap_mj) {
    const path_entry *last = NULL;
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        const path_entry *path = paths[costed[i].path];
        if (path->energy_mj > cap_mj || (last && !is_better(path, last))) continue;
        last = path;
        front[found++] = costed[i];
    }
    return found;
}

double place_share(const place *place, const chances *chances) {
    return chances_share(chances, place->median_ms, place->slow_ms);
}
