/* Pick a path for a time budget, and follow the device as it slows down, pauses and recovers. rule.c decides;
 * here are the clock, the lock and the engine. */
#define _GNU_SOURCE

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "context.h"
#include "explain.h"
#include "pick.h"

struct tipsc_governor {
    tipsc_engine *engine;
    tipsc_governor_options options;
    rule rule;
    size_t *numbers; /* in the engine, of each path of the rule */
    double ended;    /* of the last call; NaN: there was none */
    double spent;    /* when a call was last held to a power; NaN: none was */
    pthread_mutex_t lock;
};

const char *tipsc_reason_text(tipsc_reason reason) {
    static const char *const words[] = {"the most accurate path that fits",
                                        "the same path until a better one has fitted for long enough",
                                        "tried, since it may fit by now",
                                        "no path is sure to fit: the fastest",
                                        "nothing fits: the fastest path",
                                        "it was asked for",
                                        "nothing is as thrifty: the thriftiest path"};
    return (size_t)reason < sizeof words / sizeof *words ? words[reason] : "";
}

static double system_clock(void *user) {
    struct timespec now;
    (void)user;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static tipsc_code make_rule(tipsc_governor *governor, tipsc_error *error) {
    const tipsc_engine *engine = governor->engine;
    const path_entry **known = calloc(engine->path_count, sizeof *known);
    governor->numbers = calloc(engine->path_count, sizeof *governor->numbers);
    size_t count = 0;
    tipsc_code code = known && governor->numbers ? TIPSC_OK : no_memory(error);
    for (size_t i = 0; code == TIPSC_OK && i < engine->path_count; i++) {
        const path_entry *entry = engine->paths[i].entry;
        if (entry->has_latency && entry->batch == (int64_t)governor->options.batch) known[count++] = entry;
    }
    if (code == TIPSC_OK && !count)
        code = fail(error, TIPSC_BUDGET, "build it with a profile", "no path of this engine has a measured latency");
    if (code == TIPSC_OK &&
        !rule_make(&governor->rule, known, count, governor->options.percentile, governor->options.hysteresis))
        code = no_memory(error);
    for (size_t k = 0; code == TIPSC_OK && k < count; k++)
        for (size_t i = 0; i < engine->path_count; i++)
            if (engine->paths[i].entry == governor->rule.paths[k]) governor->numbers[k] = i;
    free(known);
    return code;
}

tipsc_code tipsc_governor_new(tipsc_engine *engine, const tipsc_governor_options *given, tipsc_governor **governor,
                              tipsc_error *error) {
    tipsc_governor_options options;
    tipsc_choice choice;
    if (!governor) return fail(error, TIPSC_USAGE, NULL, "there is nowhere to put the governor");
    TRY(take_struct(&options, given, sizeof options, "options", error));
    const tipsc_choice wanted = {.size = sizeof wanted, .batch = options.batch, .percentile = options.percentile};
    TRY(choice_of(engine, &wanted, &choice, error));
    options.batch = choice.batch;
    options.percentile = choice.percentile;
    if (!options.clock) options.clock = system_clock;
    tipsc_governor *made = calloc(1, sizeof *made);
    if (!made) return no_memory(error);
    made->engine = engine;
    made->options = options;
    made->ended = made->spent = NAN;
    tipsc_code code = make_rule(made, error);
    if (code == TIPSC_OK && pthread_mutex_init(&made->lock, NULL)) code = no_memory(error);
    if (code != TIPSC_OK) {
        rule_free(&made->rule);
        free(made->numbers);
        free(made);
        return code;
    }
    engine_hold(engine);
    *governor = made;
    return TIPSC_OK;
}

void tipsc_governor_free(tipsc_governor *governor) {
    if (!governor) return;
    pthread_mutex_destroy(&governor->lock);
    rule_free(&governor->rule);
    free(governor->numbers);
    engine_let_go(governor->engine);
    free(governor);
}

static double now_of(const tipsc_governor *governor) { return governor->options.clock(governor->options.user); }

/* Milliseconds; infinite if there is no before: the longest of pauses. */
static double since(double before, double now) {
    if (isnan(before)) return INFINITY;
    double gap = (now - before) * 1e3;
    return gap > 0.0 ? gap : 0.0;
}

static size_t place_of(const tipsc_governor *governor, size_t path) {
    size_t place = 0;
    while (place < governor->rule.path_count && governor->numbers[place] != path) place++;
    return place;
}

static tipsc_code check_positive(double value, const char *what, tipsc_error *error) {
    if (value > 0 && isfinite(value)) return TIPSC_OK;
    return fail(error, TIPSC_USAGE, NULL, "%s above 0, got %g)", what, value);
}

static tipsc_code check_demand(const tipsc_demand *demand, tipsc_error *error) {
    bool energy = demand->budget_mj != 0 || demand->watts != 0;
    if (demand->per_second != 0) {
        if (demand->budget_ms != 0 || demand->pinned || energy)
            return fail(error, TIPSC_USAGE, "give per_second alone, budget_ms or a path", "a call is held to one thing");
        return check_positive(demand->per_second, "per_second: this is no rate (expected calls a second", error);
    }
    if (demand->pinned && energy)
        return fail(error, TIPSC_USAGE, "give a path, or an energy to find one by", "a call is held to one thing");
    if (demand->budget_mj != 0)
        TRY(check_positive(demand->budget_mj, "budget_mj: this is no energy of a call (expected millijoules", error));
    if (demand->watts != 0) TRY(check_positive(demand->watts, "watts: this is no power (expected watts", error));
    return demand->budget_ms != 0 || !(demand->pinned || energy) ? check_budget(demand->budget_ms, error) : TIPSC_OK;
}

static tipsc_code decide_energy(tipsc_governor *governor, const tipsc_demand *demand, double gap_ms, double now,
                                double budget_ms, decision *found, tipsc_error *error) {
    rule *rule = &governor->rule;
    if (!rule->costed_count)
        return fail(error, TIPSC_USAGE, "build or finish it on a device that has a power sensor, or give budget_ms",
                    "%s: no path of this engine has a measured energy", demand->watts != 0 ? "watts" : "budget_mj");
    double cap_mj = demand->budget_mj != 0 ? demand->budget_mj : INFINITY;
    if (demand->watts != 0) {
        double left = account_cap(&rule->account, since(governor->spent, now), demand->watts);
        if (left < cap_mj) cap_mj = left;
    }
    *found = rule_energy(rule, gap_ms, budget_ms, cap_mj);
    return TIPSC_OK;
}

static tipsc_code decide(tipsc_governor *governor, const tipsc_demand *demand, double now, decision *found,
                         tipsc_error *error) {
    TRY(check_demand(demand, error));
    double gap_ms = since(governor->ended, now), budget_ms = demand->budget_ms != 0 ? demand->budget_ms : INFINITY;
    if (demand->per_second != 0)
        *found = rule_throughput(&governor->rule, gap_ms, 1e3 / demand->per_second);
    else if (demand->budget_mj != 0 || demand->watts != 0)
        return decide_energy(governor, demand, gap_ms, now, budget_ms, found, error);
    else if (!demand->pinned)
        *found = rule_deadline(&governor->rule, gap_ms, budget_ms);
    else {
        size_t place = place_of(governor, demand->path);
        if (place == governor->rule.path_count)
            return fail(error, TIPSC_PATH, NULL, "the governor knows no path %zu", demand->path);
        *found = rule_pinned(&governor->rule, gap_ms, place, budget_ms);
    }
    return TIPSC_OK;
}

static tipsc_code take_demand(tipsc_demand *demand, const tipsc_demand *given, tipsc_error *error) {
    if (!given) return fail(error, TIPSC_USAGE, "give a budget, a rate or a path", "nothing is demanded of the call");
    return take_struct(demand, given, sizeof *demand, "demand", error);
}

static tipsc_code choose(tipsc_governor *governor, const tipsc_demand *demand, double now, decision *found,
                         tipsc_error *error) {
    TRY(decide(governor, demand, now, found, error));
    if (governor->options.run_fastest) return TIPSC_OK;
    const path_entry *path = governor->rule.paths[found->path];
    if (found->reason == TIPSC_TOO_COSTLY) {
        bool by_power = demand->watts != 0 && (demand->budget_mj == 0 || found->budget_mj < demand->budget_mj);
        return fail(error, TIPSC_BUDGET, "give more energy, or set run_fastest to run the thriftiest",
                    "no path takes %.3g mJ or less%s: the thriftiest, %s, takes %.3g mJ", found->budget_mj,
                    by_power ? ", which is what the watts leave now" : "", path->id.text, path->energy_mj);
    }
    if (found->reason != TIPSC_TOO_LATE) return TIPSC_OK;
    rule_refused(&governor->rule, found);
    return fail(error, TIPSC_BUDGET, "give more time, or set run_fastest to run late",
                "no path fits a budget of %g ms: the fastest, %s, takes %.3g ms, slowed %.2fx", found->budget_ms,
                path->id.text, found->predicted_ms, governor->rule.estimate.factor);
}

/* When a call begins: several that run at once must not spend the same watts twice. */
static void spend(tipsc_governor *governor, const tipsc_demand *demand, const decision *decision, double now) {
    if (demand->watts == 0) return;
    account_spend(&governor->rule.account, since(governor->spent, now), demand->watts,
                  governor->rule.paths[decision->path]->energy_mj);
    governor->spent = now;
}

static tipsc_result result_of(const tipsc_governor *governor, const decision *decision) {
    const path_entry *path = governor->rule.paths[decision->path];
    return (tipsc_result){
        .mode = decision->mode,
        .reason = decision->reason,
        .path = governor->numbers[decision->path],
        .budget_ms = decision->budget_ms,
        .predicted_ms = decision->predicted_ms,
        .elapsed_ms = NAN,
        .gap_ms = decision->gap_ms,
        .slowdown = governor->rule.estimate.factor,
        .ended = NAN,
        .budget_mj = decision->budget_mj,
        .energy_mj = path->has_energy ? path->energy_mj : NAN,
    };
}

tipsc_code tipsc_governor_pick(tipsc_governor *governor, const tipsc_demand *given, tipsc_result *result,
                               tipsc_error *error) {
    decision found = {0};
    tipsc_demand demand;
    if (!governor) return fail(error, TIPSC_USAGE, NULL, "there is no governor");
    TRY(take_demand(&demand, given, error));
    pthread_mutex_lock(&governor->lock);
    tipsc_code code = choose(governor, &demand, now_of(governor), &found, error);
    tipsc_result picked = result_of(governor, &found);
    pthread_mutex_unlock(&governor->lock);
    TRY(code);
    return give_struct(result, &picked, sizeof picked, error);
}

tipsc_code tipsc_governor_run(tipsc_governor *governor, tipsc_context *context, const tipsc_buffer *inputs,
                              size_t input_count, const tipsc_buffer *outputs, size_t output_count,
                              const tipsc_demand *given, tipsc_result *result, tipsc_error *error) {
    decision found = {0};
    tipsc_demand demand;
    if (!governor || !context || context->engine != governor->engine)
        return fail(error, TIPSC_USAGE, NULL, "there is no governor, or no context of its engine");
    TRY(take_demand(&demand, given, error));
    double (*clock)(void *) = governor->options.clock;
    void *user = governor->options.user;
    pthread_mutex_lock(&governor->lock);
    double now = clock(user);
    tipsc_code code = choose(governor, &demand, now, &found, error);
    if (code == TIPSC_OK) spend(governor, &demand, &found, now);
    tipsc_result ran = result_of(governor, &found);
    pthread_mutex_unlock(&governor->lock);
    TRY(code);
    double start = clock(user);
    TRY(tipsc_run(context, ran.path, inputs, input_count, outputs, output_count, error));
    ran.ended = clock(user);
    ran.elapsed_ms = (ran.ended - start) * 1e3;
    ran.in_time = ran.elapsed_ms <= ran.budget_ms;
    pthread_mutex_lock(&governor->lock);
    rule_learn(&governor->rule, &found, ran.elapsed_ms);
    governor->ended = ran.ended;
    pthread_mutex_unlock(&governor->lock);
    ran.size = sizeof ran;
    if (governor->options.on_call) governor->options.on_call(user, &ran);
    return result ? give_struct(result, &ran, sizeof ran, error) : TIPSC_OK;
}

tipsc_code tipsc_governor_explain(tipsc_governor *governor, const tipsc_demand *given, char *text, size_t room,
                                  tipsc_error *error) {
    decision found = {0};
    tipsc_demand demand;
    if (!governor || !text || !room) return fail(error, TIPSC_USAGE, NULL, "there is no governor, or no room for a text");
    TRY(take_demand(&demand, given, error));
    pthread_mutex_lock(&governor->lock);
    tipsc_code code = decide(governor, &demand, now_of(governor), &found, error);
    if (code == TIPSC_OK) explain(&governor->rule, &found, text, room);
    pthread_mutex_unlock(&governor->lock);
    return code;
}

tipsc_code tipsc_governor_observe(tipsc_governor *governor, size_t path, double elapsed_ms, tipsc_error *error) {
    if (!governor) return fail(error, TIPSC_USAGE, NULL, "there is no governor");
    if (!(isfinite(elapsed_ms) && elapsed_ms >= 0))
        return fail(error, TIPSC_USAGE, NULL, "elapsed_ms: this is no time that a call took (expected milliseconds, at least 0, got %g)",
                    elapsed_ms);
    size_t place = place_of(governor, path);
    if (place == governor->rule.path_count) return TIPSC_OK;
    double now = now_of(governor);
    pthread_mutex_lock(&governor->lock);
    double gap = since(governor->ended, now) - elapsed_ms;
    estimate_learn(&governor->rule.estimate, governor->rule.paths[place]->p50_ms, gap > 0.0 ? gap : 0.0, elapsed_ms);
    governor->ended = now;
    pthread_mutex_unlock(&governor->lock);
    return TIPSC_OK;
}

double tipsc_governor_slowdown(tipsc_governor *governor) {
    pthread_mutex_lock(&governor->lock);
    double factor = governor->rule.estimate.factor;
    pthread_mutex_unlock(&governor->lock);
    return factor;
}

double tipsc_governor_pause_ms(tipsc_governor *governor) {
    pthread_mutex_lock(&governor->lock);
    double pause = estimate_constant(&governor->rule.estimate, since(governor->ended, now_of(governor)));
    pthread_mutex_unlock(&governor->lock);
    return pause;
}
