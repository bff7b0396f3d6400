#include "explain.h"

#include <stdarg.h>
#include <stdio.h>

typedef struct page {
    char *text;
    size_t room, used;
} page;

__attribute__((format(printf, 2, 3))) static void say(page *page, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(page->text + page->used, page->room - page->used, format, arguments);
    va_end(arguments);
    size_t left = page->room - page->used - 1;
    page->used += length < 0 ? 0 : (size_t)length < left ? (size_t)length : left;
}

static const char *verdict(const rule *rule, const decision *decision, size_t path, const place *fastest,
                           const place *place) {
    const path_entry *entry = rule->paths[path];
    if (path == decision->path) return "runs";
    if (decision->mode == TIPSC_ENERGY && !entry->has_energy) return "its energy was not measured";
    if (decision->mode == TIPSC_ENERGY && entry->energy_mj > decision->budget_mj) return "takes more energy";
    if (!place) return "a faster path is as good";
    if (!rule_fits(rule, decision, fastest, place)) return "would be late too often";
    return rule_rested(rule, decision->mode, path) ? "fits" : "was late too often and rests";
}

void explain(rule *rule, const decision *decision, char *text, size_t room) {
    page page = {text, room, 0};
    chances chances;
    size_t count;
    const place *front = rule_front(rule, decision, &count);
    bool by_energy = decision->mode == TIPSC_ENERGY;
    char cap[48] = "";
    estimate_chances(&rule->estimate, decision->gap_ms, decision->budget_ms, &chances);
    if (by_energy) snprintf(cap, sizeof cap, ", at most %.3g mJ", decision->budget_mj);
    say(&page, "%s: %s (%s %.3g ms%s, slowdown %.3g, %.3g ms after a pause)", rule->paths[decision->path]->id.text,
        tipsc_reason_text(decision->reason), decision->mode == TIPSC_THROUGHPUT ? "period" : "budget",
        decision->budget_ms, cap, rule->estimate.factor, estimate_constant(&rule->estimate, decision->gap_ms));
    for (size_t path = 0; path < rule->path_count; path++) {
        const path_entry *entry = rule->paths[path];
        const place *place = NULL;
        char share[32] = "", energy[48] = "";
        for (size_t i = 0; i < count && !place; i++)
            if (front[i].path == path) place = &front[i];
        if (place) snprintf(share, sizeof share, "%6.1f%% in time", 100 * place_share(place, &chances));
        if (entry->has_energy) snprintf(energy, sizeof energy, "%9.3f mJ", entry->energy_mj);
        say(&page, "\n  %-12s%9.3f ms%*s%16s  %s", entry->id.text,
            estimate_median(&rule->estimate, entry->p50_ms, decision->gap_ms), by_energy ? 12 : 0,
            by_energy ? energy : "", share, verdict(rule, decision, path, front, place));
    }
}
