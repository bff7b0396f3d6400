#include "rule.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pick.h"

static const double AIM = 0.985, ENOUGH = 0.98, OWED = -2.0, SAVED = 3.0, HOPELESS = 0.45;
static const double CATCH_UP = 8.0, MOST_PERIODS = 8.0;
enum { TRY_AFTER = 100, TRY_AT_LAST = 1600 };

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

static size_t place_among(const rule *rule, const path_entry *path) {
    size_t place = 0;
    while (rule->paths[place] != path) place++;
    return place;
}

/* The paths that are better than all that are as fast. */
static void make_front(rule *rule, const path_entry **sorted, uint32_t percentile) {
    qsort(sorted, rule->path_count, sizeof *sorted, best_of_the_fastest_first);
    const path_entry *last = NULL;
    double slow = 0;
    for (size_t i = 0; i < rule->path_count; i++) {
        if (last && !is_better(sorted[i], last)) continue;
        double own = latency_ms(sorted[i], percentile);
        /* A slower path is not expected to be late less often than a faster one. */
        slow = last && slow > own ? slow : own;
        last = sorted[i];
        rule->front[rule->front_count++] =
            (front_path){.path = place_among(rule, last), .median_ms = last->p50_ms, .slow_ms = slow};
    }
}

bool rule_make(rule *rule, const path_entry *const *paths, size_t count, uint32_t percentile, uint32_t hysteresis) {
    *rule = (struct rule){.path_count = count, .wait = TRY_AFTER, .hysteresis = hysteresis};
    rule->paths = calloc(count, sizeof *rule->paths);
    rule->front = calloc(count, sizeof *rule->front);
    const path_entry **sorted = calloc(count, sizeof *sorted);
    bool ok = rule->paths && rule->front && sorted && estimate_make(&rule->estimate, paths, count);
    if (ok) {
        memcpy(rule->paths, paths, count * sizeof *paths);
        memcpy(sorted, paths, count * sizeof *paths);
        qsort(rule->paths, count, sizeof *rule->paths, by_speed);
        make_front(rule, sorted, percentile);
        rule->last = rule->front_count;
    }
    free(sorted);
    if (!ok) rule_free(rule);
    return ok;
}

void rule_free(rule *rule) {
    free(rule->paths);
    free(rule->front);
    *rule = (struct rule){0};
}

static double own_allowance(const rule *rule, size_t place) {
    const front_path *path = &rule->front[place];
    double own = path->allowance + (double)(rule->calls - path->allowance_calls) * (1 - AIM);
    return own < SAVED ? own : SAVED;
}

static double enough(const rule *rule, double best) {
    return rule->allowance >= 0 && ENOUGH < best ? ENOUGH : best;
}

static double within(const rule *rule, double period_ms) { return period_ms - rule->owed_ms / CATCH_UP; }

double rule_share(const rule *rule, const chances *chances, size_t place) {
    return chances_share(chances, rule->front[place].median_ms, rule->front[place].slow_ms);
}

bool rule_rested(const rule *rule, tipsc_mode mode, size_t place) {
    return mode == TIPSC_THROUGHPUT || own_allowance(rule, place) >= 0;
}

static decision decide(const rule *rule, tipsc_mode mode, tipsc_reason reason, size_t place, double gap_ms,
                       double budget_ms) {
    const front_path *path = &rule->front[place];
    return (decision){path->path, reason, mode, gap_ms, budget_ms,
                      estimate_median(&rule->estimate, path->median_ms, gap_ms)};
}

static decision fastest(const rule *rule, tipsc_mode mode, double gap_ms, double budget_ms) {
    decision found = decide(rule, mode, TIPSC_LIKELIEST, 0, gap_ms, budget_ms);
    if (found.predicted_ms > budget_ms) found.reason = TIPSC_TOO_LATE;
    return found;
}

/* Whether the next better path is to be tried: it would fit were the extra time the same for all. */
static bool may_fit(const rule *rule, tipsc_mode mode, size_t place, double gap_ms, double within_ms) {
    if (place + 1 >= rule->front_count || rule->since < rule->wait) return false;
    if (mode == TIPSC_THROUGHPUT ? rule->owed_ms > 0 : rule->allowance < 1) return false;
    double median = rule->front[place].median_ms;
    double extra = estimate_median(&rule->estimate, median, gap_ms) - median;
    return rule->front[place + 1].median_ms + extra <= within_ms;
}

static decision held_or_tried(const rule *rule, tipsc_mode mode, size_t place, double gap_ms, double budget_ms,
                              double within_ms) {
    if (rule->last < rule->front_count && place > rule->last && rule->held < rule->hysteresis &&
        rule_rested(rule, mode, rule->last))
        return decide(rule, mode, TIPSC_HELD, rule->last, gap_ms, budget_ms);
    if (may_fit(rule, mode, place, gap_ms, within_ms))
        return decide(rule, mode, TIPSC_TRIED, place + 1, gap_ms, budget_ms);
    return decide(rule, mode, TIPSC_MOST_ACCURATE, place, gap_ms, budget_ms);
}

/* The slowest path of the front that keeps a budget so often; the first one does. */
static size_t last_that_keeps(const rule *rule, const chances *chances, double share) {
    size_t low = 0, high = rule->front_count;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (rule_share(rule, chances, middle) >= share) low = middle;
        else high = middle;
    }
    return low;
}

decision rule_deadline(rule *rule, double gap_ms, double budget_ms) {
    chances chances;
    estimate_chances(&rule->estimate, gap_ms, budget_ms, &chances);
    double best = rule_share(rule, &chances, 0);
    if (best < HOPELESS) return fastest(rule, TIPSC_DEADLINE, gap_ms, budget_ms); /* no share tells them apart */
    size_t most = last_that_keeps(rule, &chances, enough(rule, best)), place = most;
    while (place && !rule_rested(rule, TIPSC_DEADLINE, place)) place--;
    if (!rule_rested(rule, TIPSC_DEADLINE, place)) place = most;
    return held_or_tried(rule, TIPSC_DEADLINE, place, gap_ms, budget_ms, budget_ms);
}

decision rule_throughput(rule *rule, double gap_ms, double period_ms) {
    double within_ms = within(rule, period_ms);
    double largest = (within_ms - estimate_constant(&rule->estimate, gap_ms)) / rule->estimate.factor;
    size_t count = 0;
    while (count < rule->front_count && rule->front[count].median_ms <= largest) count++;
    if (!count) return fastest(rule, TIPSC_THROUGHPUT, gap_ms, period_ms);
    return held_or_tried(rule, TIPSC_THROUGHPUT, count - 1, gap_ms, period_ms, within_ms);
}

decision rule_pinned(const rule *rule, double gap_ms, size_t path, double budget_ms) {
    double predicted = estimate_median(&rule->estimate, rule->paths[path]->p50_ms, gap_ms);
    return (decision){path, TIPSC_ASKED_FOR, TIPSC_PINNED, gap_ms, budget_ms, predicted};
}

static double bounded(double allowance) { return allowance < OWED ? OWED : allowance > SAVED ? SAVED : allowance; }

static void add_call(rule *rule, size_t place, bool late) {
    rule->allowance = bounded(rule->allowance + 1 - AIM - late);
    rule->calls++;
    if (!late) return;
    double own = own_allowance(rule, place) - 1;
    rule->front[place].allowance = own < OWED ? OWED : own;
    rule->front[place].allowance_calls = rule->calls;
}

void rule_learn(rule *rule, const decision *decision, double elapsed_ms) {
    estimate_learn(&rule->estimate, rule->paths[decision->path]->p50_ms, decision->gap_ms, elapsed_ms);
    if (decision->mode == TIPSC_PINNED) return;
    size_t place = 0;
    while (rule->front[place].path != decision->path) place++;
    bool late = elapsed_ms > decision->budget_ms;
    rule->since++;
    if (decision->reason == TIPSC_TRIED) {
        /* One call in time is tried again at once, until the estimate has followed. */
        if (late) rule->wait = 2 * rule->wait < TRY_AT_LAST ? 2 * rule->wait : TRY_AT_LAST;
        else rule->wait = TRY_AFTER;
        rule->since = late ? 0 : rule->wait;
    }
    rule->held = decision->reason == TIPSC_HELD ? rule->held + 1 : 0;
    rule->last = place;
    if (decision->mode == TIPSC_THROUGHPUT) {
        double owed = rule->owed_ms + elapsed_ms - decision->budget_ms, most = MOST_PERIODS * decision->budget_ms;
        if (owed < 0.0) owed = 0.0;
        rule->owed_ms = owed < most ? owed : most;
    } else {
        add_call(rule, place, late);
    }
}

void rule_refused(rule *rule, const decision *decision) { estimate_relax(&rule->estimate, decision->gap_ms); }

bool rule_fits(const rule *rule, const decision *decision, size_t place) {
    if (decision->mode == TIPSC_THROUGHPUT)
        return estimate_median(&rule->estimate, rule->front[place].median_ms, decision->gap_ms) <=
               within(rule, decision->budget_ms);
    chances chances;
    estimate_chances(&rule->estimate, decision->gap_ms, decision->budget_ms, &chances);
    double best = rule_share(rule, &chances, 0);
    return best >= HOPELESS && rule_share(rule, &chances, place) >= enough(rule, best);
}
