/* How long the next call of a path will take, learned from the calls of all paths: the model of
 * tipsc/runtime/estimate.py, computed in the same order, so that decisions are the same. */
#ifndef TIPSC_ESTIMATE_H
#define TIPSC_ESTIMATE_H

#include <stddef.h>

#include "manifest.h"

enum { GAPS = 4, WINDOW = 100, RECENT = 3 };

/* The last calls after like gaps, as lines r + s p. */
typedef struct window {
    double r[WINDOW], s[WINDOW];
    int oldest, count;
} window;

typedef struct estimate {
    double factor;
    double constants[GAPS]; /* ms, by gap */
    double profiled[GAPS], spread[GAPS];
    double lowest;
    struct {
        double p, ms;
        int place;
    } recent[RECENT];
    int recent_count;
    window windows[GAPS];
} estimate;

/* What would keep a budget after a gap. */
typedef struct chances {
    double budget_ms;
    double limits_ms[WINDOW]; /* the largest medians that each call of the window would have kept, ascending */
    int count;
    double factor, constant_ms;
} chances;

/* Of paths with latencies, at least one; false if there is no memory. */
bool estimate_make(estimate *estimate, const path_entry *const *paths, size_t count);
double estimate_constant(const estimate *estimate, double gap_ms);
/* What a call of a path with this median is most likely to take. */
double estimate_median(const estimate *estimate, double p50_ms, double gap_ms);
void estimate_chances(const estimate *estimate, double gap_ms, double budget_ms, chances *chances);
/* Share of calls in time, 0..1, of a path with this median; `slow_ms` stands for calls that were not seen. */
double chances_share(const chances *chances, double median_ms, double slow_ms);
void estimate_learn(estimate *estimate, double p50_ms, double gap_ms, double elapsed_ms);
/* Nothing ran, because nothing seemed to fit: the device may have recovered. */
void estimate_relax(estimate *estimate, double gap_ms);

#endif
