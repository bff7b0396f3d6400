/* Paths that are worth running: better than all that are as fast (tipsc/runtime/front.py). */
#ifndef TIPSC_FRONT_H
#define TIPSC_FRONT_H

#include "estimate.h"

/* A path among others that are sorted by their medians. */
typedef struct place {
    size_t path; /* of the paths that the front was made of */
    double median_ms, slow_ms;
} place;

/* Sorts paths, the fastest first. */
void sort_by_speed(const path_entry **paths, size_t count);
/* Into `front`, of `count` paths that are sorted so; gives its length. `sorted` is room for as many. */
size_t front_make(place *front, const path_entry *const *paths, size_t count, const path_entry **sorted,
                  uint32_t percentile);
/* Into `costed` those that have an energy, in order, those that are not worth running as well. */
size_t costed_make(place *costed, const path_entry *const *paths, size_t count, const path_entry **sorted,
                   uint32_t percentile);
/* Into `front` the front of those that take no more than `cap_mj`. Paths that are fast, thrifty and good are in
 * no one order, so nothing can be halved here: one pass, O(K). */
size_t affordable(place *front, const place *costed, size_t count, const path_entry *const *paths, double cap_mj);
/* Share of the path's calls in time. */
double place_share(const place *place, const chances *chances);

#endif
