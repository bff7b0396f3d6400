/* Which path the next call runs: the rule of tipsc/runtime/rule.py, without clock, lock and engine. The same
 * inputs give the same decisions; tests/runtime/governor_vectors.json holds both to that. */
#ifndef TIPSC_RULE_H
#define TIPSC_RULE_H

#include "account.h"
#include "front.h"
#include "tipsc.h"

typedef struct decision {
    size_t path; /* of `rule.paths` */
    tipsc_reason reason;
    tipsc_mode mode;
    double gap_ms, budget_ms, predicted_ms;
    double budget_mj; /* infinite but for the mode of energy */
} decision;

/* Late calls that a path may have, as it was after so many calls. */
typedef struct allowance {
    double late;
    long long calls;
} allowance;

typedef struct rule {
    const path_entry **paths; /* with a latency, the fastest first */
    size_t path_count;
    place *front; /* the fastest first */
    size_t front_count;
    place *costed; /* all with an energy, the fastest first */
    size_t costed_count;
    size_t thriftiest; /* of `costed` */
    place *within; /* room for those of `costed` that a cap leaves */
    account account; /* of energy, if there are any of `costed` */
    estimate estimate;
    double allowance; /* late calls that all of them together may have */
    allowance *own;   /* and each of `paths` */
    long long calls;
    int wait, since;
    uint32_t hysteresis, held;
    size_t last; /* of `paths`; their count: none yet */
    double owed_ms;
} rule;

/* Of paths with latencies, at least one; false if there is no memory. */
bool rule_make(rule *rule, const path_entry *const *paths, size_t count, uint32_t percentile, uint32_t hysteresis);
void rule_free(rule *rule);

decision rule_deadline(rule *rule, double gap_ms, double budget_ms);
decision rule_throughput(rule *rule, double gap_ms, double period_ms);
/* For a call that may take `cap_mj`; some path has an energy. */
decision rule_energy(rule *rule, double gap_ms, double budget_ms, double cap_mj);
decision rule_pinned(const rule *rule, double gap_ms, size_t path, double budget_ms);
void rule_learn(rule *rule, const decision *decision, double elapsed_ms);
/* Nothing ran, since nothing was to fit. */
void rule_refused(rule *rule, const decision *decision);

/* The paths that could have run for a decision, and how many; until the next decision. */
const place *rule_front(rule *rule, const decision *decision, size_t *count);
/* Of a path: whether it has not overdrawn its allowance; of one of the front with that fastest one, whether it
 * keeps the time that the decision was held to. */
bool rule_rested(const rule *rule, tipsc_mode mode, size_t path);
bool rule_fits(const rule *rule, const decision *decision, const place *fastest, const place *place);

#endif
