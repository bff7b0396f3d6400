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

static const char *verdict(const rule *rule, const decision *decision, size_t path, size_t place) {
    if (path == decision->path) return "runs";
    if (place == rule->front_count) return "a faster path is as good";
    if (!rule_fits(rule, decision, place)) return "would be late too often";
    return rule_rested(rule, decision->mode, place) ? "fits" : "was late too often and rests";
}

void explain(const rule *rule, const decision *decision, char *text, size_t room) {
    page page = {text, room, 0};
    chances chances;
    double gap = decision->gap_ms;
    estimate_chances(&rule->estimate, gap, decision->budget_ms, &chances);
    say(&page, "%s: %s (%s %.3g ms, slowdown %.3g, %.3g ms after a pause)", rule->paths[decision->path]->id.text,
        tipsc_reason_text(decision->reason), decision->mode == TIPSC_THROUGHPUT ? "period" : "budget",
        decision->budget_ms, rule->estimate.factor, estimate_constant(&rule->estimate, gap));
    for (size_t path = 0; path < rule->path_count; path++) {
        size_t place = 0;
        char share[32] = "";
        while (place < rule->front_count && rule->front[place].path != path) place++;
        if (place < rule->front_count)
            snprintf(share, sizeof share, "%6.1f%% in time", 100 * rule_share(rule, &chances, place));
        say(&page, "\n  %-12s%9.3f ms%16s  %s", rule->paths[path]->id.text,
            estimate_median(&rule->estimate, rule->paths[path]->p50_ms, gap), share,
            verdict(rule, decision, path, place));
    }
}
