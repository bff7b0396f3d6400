#include "rule.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double AIM = 0.985, ENOUGH = 0.98, OWED = -2.0, SAVED = 3.0, HOPELESS = 0.45;
static const double CATCH_UP = 8.0, MOST_PERIODS = 8.0;
enum { TRY_AFTER = 100, TRY_AT_LAST = 1600 };

/* What a call is held to, and the paths that may run for it. */
typedef struct asked {
    tipsc_mode mode;
    const place *front;
    size_t count;
    double gap_ms, budget_ms, cap_mj;
} asked;

static void make_account(rule *rule) {
    double least = INFINITY, most = 0;
    for (size_t i = 0; i < rule->costed_count; i++) {
        double energy = rule->paths[rule->costed[i].path]->energy_mj;
        if (energy < least) least = energy, rule->thriftiest = i;
        if (energy > most) most = energy;
    }
    account_make(&rule->account, least, most);
}

bool rule_make(rule *rule, const path_entry *const *paths, size_t count, uint32_t percentile, uint32_t hysteresis) {
    *rule = (struct rule){.path_count = count, .wait = TRY_AFTER, .hysteresis = hysteresis, .last = count};
    rule->paths = calloc(count, sizeof *rule->paths);
    rule->front = calloc(count, sizeof *rule->front);
    rule->costed = calloc(count, sizeof *rule->costed);
    rule->within = calloc(count, sizeof *rule->within);
    rule->own = calloc(count, sizeof *rule->own);
    const path_entry **sorted = calloc(count, sizeof *sorted);
    bool ok = rule->paths && rule->front && rule->costed && rule->within && rule->own && sorted &&
              estimate_make(&rule->estimate, paths, count);
    if (ok) {
        memcpy(rule->paths, paths, count * sizeof *paths);
        sort_by_speed(rule->paths, count);
        rule->front_count = front_make(rule->front, rule->paths, count, sorted, percentile);
        rule->costed_count = costed_make(rule->costed, rule->paths, count, sorted, percentile);
        make_account(rule);
    }
    free(sorted);
    if (!ok) rule_free(rule);
    return ok;
}

void rule_free(rule *rule) {
    free(rule->paths);
    free(rule->front);
    free(rule->costed);
    free(rule->within);
    free(rule->own);
    *rule = (struct rule){0};
}

static double own_allowance(const rule *rule, size_t path) {
    const allowance *known = &rule->own[path];
    double own = known->late + (double)(rule->calls - known->calls) * (1 - AIM);
    return own < SAVED ? own : SAVED;
}

static double enough(const rule *rule, double best) {
    return rule->allowance >= 0 && ENOUGH < best ? ENOUGH : best;
}

static double within(const rule *rule, double period_ms) { return period_ms - rule->owed_ms / CATCH_UP; }

bool rule_rested(const rule *rule, tipsc_mode mode, size_t path) {
    return mode == TIPSC_THROUGHPUT || own_allowance(rule, path) >= 0;
}

static decision decide(const rule *rule, const asked *asked, tipsc_reason reason, size_t at) {
    const place *place = &asked->front[at];
    return (decision){place->path,
                      reason,
                      asked->mode,
                      asked->gap_ms,
                      asked->budget_ms,
                      estimate_median(&rule->estimate, place->median_ms, asked->gap_ms),
                      asked->cap_mj};
}

static decision fastest(const rule *rule, const asked *asked) {
    decision found = decide(rule, asked, TIPSC_LIKELIEST, 0);
    if (found.predicted_ms > asked->budget_ms) found.reason = TIPSC_TOO_LATE;
    return found;
}

/* Whether the next better path is to be tried: it would fit were the extra time the same for all. */
static bool may_fit(const rule *rule, const asked *asked, size_t at, double within_ms) {
    if (at + 1 >= asked->count || rule->since < rule->wait) return false;
    if (asked->mode == TIPSC_THROUGHPUT ? rule->owed_ms > 0 : rule->allowance < 1) return false;
    double median = asked->front[at].median_ms;
    double extra = estimate_median(&rule->estimate, median, asked->gap_ms) - median;
    return asked->front[at + 1].median_ms + extra <= within_ms;
}

/* Whether the last path runs although the one at `at` is better, and its place then. */
static bool is_held(const rule *rule, const asked *asked, size_t at, size_t *held) {
    if (rule->last == rule->path_count || rule->held >= rule->hysteresis) return false;
    if (!rule_rested(rule, asked->mode, rule->last)) return false;
    for (*held = 0; *held < at; ++*held)
        if (asked->front[*held].path == rule->last) return true;
    return false;
}

static decision held_or_tried(const rule *rule, const asked *asked, size_t at, double within_ms) {
    size_t held;
    if (is_held(rule, asked, at, &held)) return decide(rule, asked, TIPSC_HELD, held);
    if (may_fit(rule, asked, at, within_ms)) return decide(rule, asked, TIPSC_TRIED, at + 1);
    return decide(rule, asked, TIPSC_MOST_ACCURATE, at);
}

/* The slowest path of the front that keeps a budget so often; the first one does. */
static size_t last_that_keeps(const asked *asked, const chances *chances, double share) {
    size_t low = 0, high = asked->count;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (place_share(&asked->front[middle], chances) >= share) low = middle;
        else high = middle;
    }
    return low;
}

/* The most accurate path of a front that keeps the budget often enough. */
static decision in_time(const rule *rule, const asked *asked) {
    chances chances;
    estimate_chances(&rule->estimate, asked->gap_ms, asked->budget_ms, &chances);
    double best = place_share(&asked->front[0], &chances);
    if (best < HOPELESS) return fastest(rule, asked); /* no share tells them apart */
    size_t most = last_that_keeps(asked, &chances, enough(rule, best)), at = most;
    while (at && !rule_rested(rule, asked->mode, asked->front[at].path)) at--;
    if (!rule_rested(rule, asked->mode, asked->front[at].path)) at = most;
    return held_or_tried(rule, asked, at, asked->budget_ms);
}

decision rule_deadline(rule *rule, double gap_ms, double budget_ms) {
    return in_time(rule, &(asked){TIPSC_DEADLINE, rule->front, rule->front_count, gap_ms, budget_ms, INFINITY});
}

decision rule_throughput(rule *rule, double gap_ms, double period_ms) {
    const asked asked = {TIPSC_THROUGHPUT, rule->front, rule->front_count, gap_ms, period_ms, INFINITY};
    double within_ms = within(rule, period_ms);
    double largest = (within_ms - estimate_constant(&rule->estimate, gap_ms)) / rule->estimate.factor;
    size_t count = 0;
    while (count < rule->front_count && rule->front[count].median_ms <= largest) count++;
    return count ? held_or_tried(rule, &asked, count - 1, within_ms) : fastest(rule, &asked);
}

decision rule_energy(rule *rule, double gap_ms, double budget_ms, double cap_mj) {
    size_t count = affordable(rule->within, rule->costed, rule->costed_count, rule->paths, cap_mj);
    if (count) return in_time(rule, &(asked){TIPSC_ENERGY, rule->within, count, gap_ms, budget_ms, cap_mj});
    const asked thriftiest = {TIPSC_ENERGY, &rule->costed[rule->thriftiest], 1, gap_ms, budget_ms, cap_mj};
    return decide(rule, &thriftiest, TIPSC_TOO_COSTLY, 0);
}

decision rule_pinned(const rule *rule, double gap_ms, size_t path, double budget_ms) {
    double predicted = estimate_median(&rule->estimate, rule->paths[path]->p50_ms, gap_ms);
    return (decision){path, TIPSC_ASKED_FOR, TIPSC_PINNED, gap_ms, budget_ms, predicted, INFINITY};
}

static double bounded(double allowance) { return allowance < OWED ? OWED : allowance > SAVED ? SAVED : allowance; }

static void add_call(rule *rule, size_t path, bool late) {
    rule->allowance = bounded(rule->allowance + 1 - AIM - late);
    rule->calls++;
    if (!late) return;
    double own = own_allowance(rule, path) - 1;
    rule->own[path] = (allowance){own < OWED ? OWED : own, rule->calls};
}

void rule_learn(rule *rule, const decision *decision, double elapsed_ms) {
    estimate_learn(&rule->estimate, rule->paths[decision->path]->p50_ms, decision->gap_ms, elapsed_ms);
    if (decision->mode == TIPSC_PINNED) return;
    bool late = elapsed_ms > decision->budget_ms;
    rule->since++;
    if (decision->reason == TIPSC_TRIED) {
        /* One call in time is tried again at once, until the estimate has followed. */
        if (late) rule->wait = 2 * rule->wait < TRY_AT_LAST ? 2 * rule->wait : TRY_AT_LAST;
        else rule->wait = TRY_AFTER;
        rule->since = late ? 0 : rule->wait;
    }
    rule->held = decision->reason == TIPSC_HELD ? rule->held + 1 : 0;
    rule->last = decision->path;
    if (decision->mode == TIPSC_THROUGHPUT) {
        double owed = rule->owed_ms + elapsed_ms - decision->budget_ms, most = MOST_PERIODS * decision->budget_ms;
        if (owed < 0.0) owed = 0.0;
        rule->owed_ms = owed < most ? owed : most;
    } else {
        add_call(rule, decision->path, late);
    }
}

void rule_refused(rule *rule, const decision *decision) { estimate_relax(&rule->estimate, decision->gap_ms); }

const place *rule_front(rule *rule, const decision *decision, size_t *count) {
    *count = rule->front_count;
    if (decision->mode != TIPSC_ENERGY) return rule->front;
    *count = affordable(rule->within, rule->costed, rule->costed_count, rule->paths, decision->budget_mj);
    return rule->within;
}

bool rule_fits(const rule *rule, const decision *decision, const place *fastest, const place *place) {
    if (decision->mode == TIPSC_THROUGHPUT)
        return estimate_median(&rule->estimate, place->median_ms, decision->gap_ms) <= within(rule, decision->budget_ms);
    chances chances;
    estimate_chances(&rule->estimate, decision->gap_ms, decision->budget_ms, &chances);
    double best = place_share(fastest, &chances);
    return best >= HOPELESS && place_share(place, &chances) >= enough(rule, best);
}
