#include "estimate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double RATE = 0.5, FACTOR_SPREAD = 0.1, PAUSE_SPREAD = 0.5, RELAXED = 0.1;
static const double MIN_FACTOR = 0.25, MAX_FACTOR = 100.0;
static const double GAPS_MS[GAPS - 1] = {1.0, 10.0, 100.0};
enum { PROFILED_CALLS = 50 };

static int place_of(double gap_ms) {
    int place = 0;
    while (place < GAPS - 1 && gap_ms >= GAPS_MS[place]) place++;
    return place;
}

static int by_size(const void *a, const void *b) {
    double first = *(const double *)a, second = *(const double *)b;
    return (first > second) - (first < second);
}

bool estimate_make(estimate *estimate, const path_entry *const *paths, size_t count) {
    memset(estimate, 0, sizeof *estimate);
    estimate->factor = 1.0;
    double *values = malloc(count * sizeof *values);
    if (!values) return false;
    for (size_t i = 0; i < count; i++) values[i] = paths[i]->p50_ms;
    qsort(values, count, sizeof *values, by_size);
    double middle = values[count / 2], least = values[0];
    size_t pauses = 0;
    for (size_t i = 0; i < count; i++)
        if (paths[i]->has_pause) values[pauses++] = paths[i]->pause_ms;
    qsort(values, pauses, sizeof *values, by_size);
    double pause = pauses && values[pauses / 2] > 0.0 ? values[pauses / 2] : 0.0;
    free(values);
    for (int gap = 1; gap < GAPS; gap++) {
        estimate->profiled[gap] = estimate->constants[gap] = pause;
        estimate->spread[gap] = pauses ? PAUSE_SPREAD * pause : middle;
    }
    estimate->lowest = -0.5 * least;
    return true;
}

static double model(const estimate *estimate, double p, int place) {
    return estimate->factor * p + estimate->constants[place];
}

double estimate_constant(const estimate *estimate, double gap_ms) { return estimate->constants[place_of(gap_ms)]; }

double estimate_median(const estimate *estimate, double p50_ms, double gap_ms) {
    return model(estimate, p50_ms, place_of(gap_ms));
}

void estimate_chances(const estimate *estimate, double gap_ms, double budget_ms, chances *chances) {
    int place = place_of(gap_ms);
    const window *window = &estimate->windows[place];
    chances->budget_ms = budget_ms;
    chances->factor = estimate->factor;
    chances->constant_ms = estimate->constants[place];
    chances->count = window->count;
    for (int i = 0; i < window->count; i++) {
        int at = (window->oldest + i) % WINDOW;
        chances->limits_ms[i] = (budget_ms - window->r[at]) / window->s[at];
    }
    qsort(chances->limits_ms, (size_t)chances->count, sizeof *chances->limits_ms, by_size);
}

double chances_share(const chances *chances, double median_ms, double slow_ms) {
    int low = 0, high = chances->count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (chances->limits_ms[middle] < median_ms) low = middle + 1;
        else high = middle;
    }
    int late = low, count = chances->count, unseen = PROFILED_CALLS - count;
    if (unseen > 0) {
        bool slow = chances->factor * slow_ms + chances->constant_ms > chances->budget_ms;
        late += slow ? unseen : 0;
        count = PROFILED_CALLS;
    }
    return 1 - (double)late / count;
}

static void forget(window *window) {
    window->oldest = (window->oldest + 1) % WINDOW;
    window->count--;
}

static void add(window *window, double r, double s) {
    if (window->count == WINDOW) forget(window);
    int at = (window->oldest + window->count) % WINDOW;
    window->r[at] = r;
    window->s[at] = s;
    window->count++;
}

/* The median of three; of two the smaller, since one may be a stray; the only one. */
static double middle_of(double *errors, int count) {
    if (count == 2) return fabs(errors[1]) < fabs(errors[0]) ? errors[1] : errors[0];
    qsort(errors, (size_t)count, sizeof *errors, by_size);
    return errors[count / 2];
}

/* The fastest path takes half of its time at least, whatever the gap. */
static void keep_positive(estimate *estimate) {
    double lowest = estimate->factor * estimate->lowest;
    for (int gap = 0; gap < GAPS; gap++)
        if (estimate->constants[gap] < lowest) estimate->constants[gap] = lowest;
}

static void move(estimate *estimate, int place, double p, double by_ms) {
    double factor = (FACTOR_SPREAD * p) * (FACTOR_SPREAD * p);
    double constant = estimate->spread[place] * estimate->spread[place];
    double share = factor / (factor + constant);
    double moved = estimate->factor + share * by_ms / p;
    estimate->factor = moved < MIN_FACTOR ? MIN_FACTOR : moved > MAX_FACTOR ? MAX_FACTOR : moved;
    estimate->constants[place] += (1 - share) * by_ms;
    keep_positive(estimate);
}

void estimate_learn(estimate *estimate, double p50_ms, double gap_ms, double elapsed_ms) {
    int place = place_of(gap_ms);
    if (estimate->recent_count == RECENT) {
        memmove(estimate->recent, estimate->recent + 1, (RECENT - 1) * sizeof *estimate->recent);
        estimate->recent_count--;
    }
    estimate->recent[estimate->recent_count].p = p50_ms;
    estimate->recent[estimate->recent_count].ms = elapsed_ms;
    estimate->recent[estimate->recent_count].place = place;
    estimate->recent_count++;
    double errors[RECENT];
    for (int i = 0; i < estimate->recent_count; i++)
        errors[i] = estimate->recent[i].ms / model(estimate, estimate->recent[i].p, estimate->recent[i].place) - 1.0;
    double error = middle_of(errors, estimate->recent_count);
    move(estimate, place, p50_ms, RATE * error * model(estimate, p50_ms, place));
    add(&estimate->windows[place], elapsed_ms - estimate->factor * p50_ms, estimate->factor);
}

void estimate_relax(estimate *estimate, double gap_ms) {
    int place = place_of(gap_ms);
    double back = 1.0 - estimate->factor, excess = estimate->constants[place] - estimate->profiled[place];
    estimate->factor += RELAXED * (back < 0.0 ? back : 0.0);
    estimate->constants[place] -= RELAXED * (excess > 0.0 ? excess : 0.0);
    keep_positive(estimate);
    window *window = &estimate->windows[place];
    for (int count = (int)ceil(RELAXED * window->count); count > 0; count--) forget(window);
}
