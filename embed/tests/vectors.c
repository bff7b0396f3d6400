/* Replays tests/runtime/governor_vectors.json: the rule in C decides as the one in Python.
 *
 *     vectors FILE
 *
 * Decisions must be equal, numbers to 1e-9 of their size; the file's maker says how to read it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "json.h"
#include "rule.h"

static const char *case_name = "";
static size_t step_number;

static void stop(const char *what) {
    fprintf(stderr, "%s, step %zu: %s\n", case_name, step_number, what);
    exit(1);
}

static const json *at(const json *object, const char *key) {
    const json *part = object->parts;
    while (part && strcmp(part->key, key) != 0) part = part->next;
    return part && part->kind != JSON_NULL ? part : NULL;
}

static const json *must_have(const json *object, const char *key) {
    const json *part = at(object, key);
    if (!part) stop(key);
    return part;
}

static double number(const json *object, const char *key) { return must_have(object, key)->number; }

static double or_infinite(const json *object, const char *key) {
    const json *part = at(object, key);
    return part ? part->number : INFINITY;
}

static void same(double found, double expected, const char *what) {
    if (found == expected || fabs(found - expected) <= 1e-12 + 1e-9 * fabs(expected)) return;
    fprintf(stderr, "expected %.17g, got %.17g\n", expected, found);
    stop(what);
}

static path_entry path_of(const json *value) {
    path_entry path = {.id = {must_have(value, "id")->text, 0}, .has_latency = true};
    path.p10_ms = number(value, "p10_ms");
    path.p50_ms = number(value, "p50_ms");
    path.p95_ms = number(value, "p95_ms");
    path.macs = must_have(value, "macs")->integer;
    path.has_pause = at(value, "pause_ms") != NULL;
    if (path.has_pause) path.pause_ms = number(value, "pause_ms");
    path.has_energy = at(value, "energy_mj") != NULL;
    if (path.has_energy) path.energy_mj = number(value, "energy_mj");
    const json *quality = at(value, "quality");
    path.has_quality = quality != NULL;
    if (quality) {
        path.quality = number(quality, "value");
        path.higher = !strcmp(must_have(quality, "better")->text, "higher");
    }
    return path;
}

static size_t place_of(const rule *rule, const char *id) {
    for (size_t i = 0; i < rule->path_count; i++)
        if (!strcmp(rule->paths[i]->id.text, id)) return i;
    stop("there is no such path");
    return 0;
}

/* What the step's call may take. */
static double cap_of(const rule *rule, const json *step) {
    const json *watts = at(step, "watts");
    double cap = or_infinite(step, "budget_mj");
    if (!watts) return cap;
    double left = account_cap(&rule->account, or_infinite(step, "since_ms"), watts->number);
    return left < cap ? left : cap;
}

/* Charged and learned from, if it ran. */
static void follow(rule *rule, const json *step, const decision *found) {
    const json *refused = at(step, "refused"), *elapsed = at(step, "elapsed_ms"), *watts = at(step, "watts");
    if (refused && refused->integer) {
        if (found->reason == TIPSC_TOO_LATE) rule_refused(rule, found);
    } else if (elapsed) {
        if (watts)
            account_spend(&rule->account, or_infinite(step, "since_ms"), watts->number,
                          rule->paths[found->path]->energy_mj);
        rule_learn(rule, found, elapsed->number);
    }
}

static void decide(rule *rule, const json *step, const char *op) {
    static const char *const reasons[] = {"most_accurate", "held", "tried", "likeliest", "too_late", "pinned", "too_costly"};
    double gap = or_infinite(step, "gap_ms"), budget = or_infinite(step, "budget_ms");
    const char *id = must_have(step, "path")->text;
    decision found = !strcmp(op, "deadline")     ? rule_deadline(rule, gap, budget)
                     : !strcmp(op, "throughput") ? rule_throughput(rule, gap, budget)
                     : !strcmp(op, "energy")     ? rule_energy(rule, gap, budget, cap_of(rule, step))
                                                 : rule_pinned(rule, gap, place_of(rule, id), budget);
    if (strcmp(rule->paths[found.path]->id.text, id) != 0) stop("another path");
    if (strcmp(reasons[found.reason], must_have(step, "reason")->text) != 0) stop("another reason");
    same(found.predicted_ms, number(step, "predicted_ms"), "predicted_ms");
    same(found.budget_mj, or_infinite(step, "cap_mj"), "cap_mj");
    follow(rule, step, &found);
}

static void shares(rule *rule, const json *step) {
    chances chances;
    const json *cap = at(step, "cap_mj");
    const decision asked = {.mode = cap ? TIPSC_ENERGY : TIPSC_DEADLINE, .budget_mj = cap ? cap->number : INFINITY};
    size_t count;
    const place *front = rule_front(rule, &asked, &count);
    estimate_chances(&rule->estimate, or_infinite(step, "gap_ms"), number(step, "budget_ms"), &chances);
    const json *expected = must_have(step, "share");
    if (expected->length != count) stop("another front");
    for (const json *part = expected->parts; part; part = part->next, front++) {
        if (strcmp(part->key, rule->paths[front->path]->id.text) != 0) stop("another front");
        same(place_share(front, &chances), part->number, "share");
    }
}

static void replay(const json *value) {
    const json *listed = must_have(value, "paths"), *end = must_have(value, "end");
    path_entry *paths = calloc(listed->length, sizeof *paths);
    const path_entry **pointers = calloc(listed->length, sizeof *pointers);
    size_t count = 0;
    rule rule;
    if (!paths || !pointers) stop("no memory");
    for (const json *part = listed->parts; part; part = part->next, count++) {
        paths[count] = path_of(part);
        pointers[count] = &paths[count];
    }
    uint32_t percentile = (uint32_t)atoi(must_have(value, "percentile")->text + 1);
    if (!rule_make(&rule, pointers, count, percentile, (uint32_t)must_have(value, "hysteresis")->integer))
        stop("no memory");
    step_number = 0;
    for (const json *step = must_have(value, "steps")->parts; step; step = step->next, step_number++) {
        const char *op = must_have(step, "op")->text;
        if (!strcmp(op, "observe"))
            estimate_learn(&rule.estimate, rule.paths[place_of(&rule, must_have(step, "path")->text)]->p50_ms,
                           or_infinite(step, "gap_ms"), number(step, "elapsed_ms"));
        else if (!strcmp(op, "explain")) shares(&rule, step);
        else decide(&rule, step, op);
        same(rule.estimate.factor, number(step, "slowdown"), "slowdown");
    }
    int gap = 0;
    for (const json *part = must_have(end, "constants_ms")->parts; part; part = part->next)
        same(rule.estimate.constants[gap++], part->number, "constants_ms");
    same(rule.allowance, number(end, "allowance"), "allowance");
    same(rule.owed_ms, number(end, "owed_ms"), "owed_ms");
    if (!at(end, "left_mj") != !rule.costed_count) stop("left_mj");
    if (rule.costed_count) same(rule.account.left_mj, number(end, "left_mj"), "left_mj");
    rule_free(&rule);
    free(paths);
    free(pointers);
}

int main(int count, char **arguments) {
    tipsc_error error = {.size = sizeof error};
    arena arena = {NULL};
    void *content = NULL;
    size_t length = 0;
    json *value = NULL;
    if (count != 2) return fprintf(stderr, "usage: %s FILE\n", arguments[0]), 2;
    if (read_file(arguments[1], UINT32_MAX, &content, &length, &error) ||
        json_parse(&arena, content, length, arguments[1], &value, &error))
        return fprintf(stderr, "%s\n", error.text), 1;
    size_t cases = 0;
    for (const json *part = must_have(value, "cases")->parts; part; part = part->next, cases++) {
        case_name = must_have(part, "name")->text;
        replay(part);
    }
    printf("%zu cases\n", cases);
    free(content);
    arena_free(&arena);
    return cases ? 0 : 1;
}
