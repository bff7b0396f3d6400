/* Which path the next call runs: the rule of tipsc/runtime/rule.py, without clock, lock and engine. The same
 * inputs give the same decisions; tests/runtime/governor_vectors.json holds both to that. */
#ifndef TIPSC_RULE_H
#define TIPSC_RULE_H

#include "estimate.h"
#include "tipsc.h"

typedef struct decision {
    size_t path; /* of `rule.paths` */
    tipsc_reason reason;
    tipsc_mode mode;
    double gap_ms, budget_ms, predicted_ms;
} decision;

/* A path that is better than all that are as fast. */
typedef struct front_path {
    size_t path; /* of `rule.paths` */
    double median_ms, slow_ms;
    double allowance; /* late calls that it may have, as it was after `allowance_calls` */
    long long allowance_calls;
} front_path;

typedef struct rule {
    const path_entry **paths; /* with a latency, the fastest first */
    size_t path_count;
    front_path *front; /* the fastest first */
    size_t front_count;
    estimate estimate;
    double allowance; /* late calls that all of them together may have */
    long long calls;
    int wait, since;
    uint32_t hysteresis, held;
    size_t last; /* of the front; its count: none yet */
    double owed_ms;
} rule;

/* Of paths with latencies, at least one; false if there is no memory. */
bool rule_make(rule *rule, const path_entry *const *paths, size_t count, uint32_t percentile, uint32_t hysteresis);
void rule_free(rule *rule);

decision rule_deadline(rule *rule, double gap_ms, double budget_ms);
decision rule_throughput(rule *rule, double gap_ms, double period_ms);
decision rule_pinned(const rule *rule, double gap_ms, size_t path, double budget_ms);
void rule_learn(rule *rule, const decision *decision, double elapsed_ms);
/* Nothing ran, since nothing was to fit. */
void rule_refused(rule *rule, const decision *decision);

/* Of a path of the front: the share of its calls in time, whether it has not overdrawn its allowance, and
 * whether it keeps what that decision was held to. */
double rule_share(const rule *rule, const chances *chances, size_t place);
bool rule_rested(const rule *rule, tipsc_mode mode, size_t place);
bool rule_fits(const rule *rule, const decision *decision, size_t place);

#endif
