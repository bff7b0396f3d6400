/* Which path to run in the time that there is. */
#ifndef TIPSC_PICK_H
#define TIPSC_PICK_H

#include "engine.h"

/* What a choice says, its defaults filled in and checked. */
tipsc_code choice_of(const tipsc_engine *engine, const tipsc_choice *given, tipsc_choice *choice, tipsc_error *error);
tipsc_code check_budget(double budget_ms, tipsc_error *error);
double latency_ms(const path_entry *entry, uint32_t percentile);
/* Above 0 if `a` is better than `b`; of equally good ones the faster is. Where qualities were not measured,
 * the path with the most MACs stands for the best. */
int compare_merit(const path_entry *a, const path_entry *b);

#endif
