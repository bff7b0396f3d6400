#include "pick.h"

#include <math.h>

tipsc_code check_budget(double budget_ms, tipsc_error *error) {
    if (budget_ms > 0) return TIPSC_OK;
    return fail(error, TIPSC_USAGE, NULL, "budget_ms: this is no time budget (expected milliseconds above 0, got %g)", budget_ms);
}

double latency_ms(const path_entry *entry, uint32_t percentile) {
    return percentile == 10 ? entry->p10_ms : percentile == 50 ? entry->p50_ms : entry->p95_ms;
}

static int compare(double a, double b) { return (a > b) - (a < b); }

int compare_merit(const path_entry *a, const path_entry *b) {
    if (a->has_quality != b->has_quality) return a->has_quality ? 1 : -1;
    int order;
    if (a->has_quality) order = compare(a->higher ? a->quality : -a->quality, b->higher ? b->quality : -b->quality);
    else order = (a->macs > b->macs) - (a->macs < b->macs);
    if (order) return order;
    return compare(a->has_latency ? -a->p50_ms : -INFINITY, b->has_latency ? -b->p50_ms : -INFINITY);
}

tipsc_code choice_of(const tipsc_engine *engine, const tipsc_choice *given, tipsc_choice *choice, tipsc_error *error) {
    if (!engine) return fail(error, TIPSC_USAGE, NULL, "there is no engine");
    TRY(take_struct(choice, given, sizeof *choice, "choice", error));
    if (!choice->percentile) choice->percentile = 95;
    if (choice->percentile != 10 && choice->percentile != 50 && choice->percentile != 95)
        return fail(error, TIPSC_USAGE, "use 10, 50 or 95", "no percentile %u", (unsigned)choice->percentile);
    if (choice->slowdown == 0) choice->slowdown = 1;
    bool takes = false;
    int64_t fewest = INT64_MAX;
    for (size_t i = 0; i < engine->path_count; i++) {
        int64_t batch = engine->paths[i].entry->batch;
        takes |= batch == (int64_t)choice->batch;
        if (batch < fewest) fewest = batch;
    }
    if (!choice->batch) choice->batch = (uint32_t)fewest;
    else if (!takes)
        return fail(error, TIPSC_USAGE, "fill the batch up, or build with it in build.batch",
                    "no path of this engine takes %u examples at once", (unsigned)choice->batch);
    return TIPSC_OK;
}

tipsc_code tipsc_pick(const tipsc_engine *engine, double budget_ms, const tipsc_choice *given, size_t *path,
                      tipsc_error *error) {
    tipsc_choice choice;
    if (!path) return fail(error, TIPSC_USAGE, NULL, "there is nowhere to put the path");
    TRY(choice_of(engine, given, &choice, error));
    TRY(check_budget(budget_ms, error));
    const path_entry *best = NULL, *fastest = NULL;
    size_t found = 0;
    double least = INFINITY;
    for (size_t i = 0; i < engine->path_count; i++) {
        const path_entry *entry = engine->paths[i].entry;
        if (!entry->has_latency || entry->batch != (int64_t)choice.batch) continue;
        double ms = latency_ms(entry, choice.percentile) * choice.slowdown;
        if (!fastest || ms < least) fastest = entry, least = ms;
        if (ms <= budget_ms && (!best || compare_merit(entry, best) > 0)) best = entry, found = i;
    }
    if (!fastest)
        return fail(error, TIPSC_BUDGET, "build it with a profile", "no path of this engine has a measured latency");
    if (!best)
        return fail(error, TIPSC_BUDGET, "give more time", "no path fits a budget of %g ms: the fastest, %s, takes %.3g ms",
                    budget_ms, fastest->id.text, least);
    *path = found;
    return TIPSC_OK;
}
