/* A parser of its own, since those at hand take what must be refused: repeated keys, numbers that a
 * double does not hold, any depth, half surrogates. It reads each byte once and recurses 16 levels. */
#define _GNU_SOURCE
#include "json.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_LEVELS = 16, MOST_DIGITS = 20, MOST_NUMBER = 4096 };

typedef struct parser {
    arena *arena;
    const char *at, *end;
    const char *wrong; /* what is wrong, once something is */
    locale_t plain;    /* numbers with a point, whatever the application's language */
} parser;

static bool value(parser *p, json *into, int levels);

static bool refuse(parser *p, const char *what) {
    if (!p->wrong) p->wrong = what;
    return false;
}

static void skip_space(parser *p) {
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r')) p->at++;
}

static bool take(parser *p, char wanted) {
    if (p->at == p->end || *p->at != wanted) return false;
    p->at++;
    return true;
}

static bool word(parser *p, const char *wanted) {
    size_t length = strlen(wanted);
    if ((size_t)(p->end - p->at) < length || memcmp(p->at, wanted, length) != 0)
        return refuse(p, "no value where one is due");
    p->at += length;
    return true;
}

static bool four_digits(parser *p, unsigned *unit) {
    *unit = 0;
    if (p->end - p->at < 4) return refuse(p, "an escape is cut short");
    for (int i = 0; i < 4; i++) {
        char c = *p->at++;
        unsigned digit;
        if (c >= '0' && c <= '9') digit = (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f') digit = (unsigned)(c - 'a') + 10;
        else if (c >= 'A' && c <= 'F') digit = (unsigned)(c - 'A') + 10;
        else return refuse(p, "an escape that is none");
        *unit = *unit * 16 + digit;
    }
    return true;
}

static bool character(parser *p, char **out) {
    unsigned unit, low;
    if (!four_digits(p, &unit)) return false;
    uint32_t code = unit;
    if (unit >= 0xd800 && unit < 0xdc00) {
        if (p->end - p->at < 6 || p->at[0] != '\\' || p->at[1] != 'u') return refuse(p, "half a character");
        p->at += 2;
        if (!four_digits(p, &low)) return false;
        if (low < 0xdc00 || low > 0xdfff) return refuse(p, "half a character");
        code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    } else if (unit >= 0xdc00 && unit <= 0xdfff) {
        return refuse(p, "half a character");
    }
    char *to = *out;
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xc0 | code >> 6);
        *to++ = (char)(0x80 | (code & 63));
    } else if (code < 0x10000) {
        *to++ = (char)(0xe0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 63));
        *to++ = (char)(0x80 | (code & 63));
    } else {
        *to++ = (char)(0xf0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 63));
        *to++ = (char)(0x80 | (code >> 6 & 63));
        *to++ = (char)(0x80 | (code & 63));
    }
    *out = to;
    return true;
}

static bool text(parser *p, const char **found, size_t *length) {
    if (!take(p, '"')) return refuse(p, "no text where one is due");
    const char *close = p->at;
    while (close < p->end && *close != '"') close += *close == '\\' ? 2 : 1;
    if (close >= p->end) return refuse(p, "a text without an end");
    char *out = arena_take(p->arena, (size_t)(close - p->at) + 1, 1); /* no escape is longer than it says */
    if (!out) return refuse(p, "");
    *found = out;
    while (*p->at != '"') {
        unsigned char c = (unsigned char)*p->at++;
        if (c < 0x20) return refuse(p, "a control character in a text");
        if (c != '\\') {
            *out++ = (char)c;
            continue;
        }
        static const char names[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
        char escape = *p->at++;
        const char *at = escape ? strchr(names, escape) : NULL;
        if (escape == 'u') {
            if (!character(p, &out)) return false;
        } else if (at) {
            *out++ = means[at - names];
        } else {
            return refuse(p, "an escape that is none");
        }
    }
    p->at++;
    *out = 0;
    *length = (size_t)(out - *found);
    return true;
}

static bool digits(parser *p) {
    const char *start = p->at;
    while (p->at < p->end && *p->at >= '0' && *p->at <= '9') p->at++;
    return p->at > start;
}

static bool number(parser *p, json *into) {
    const char *start = p->at;
    bool negative = take(p, '-');
    if (!take(p, '0') && !digits(p)) return refuse(p, "no value where one is due");
    into->kind = JSON_INTEGER;
    const char *whole = p->at;
    if (take(p, '.')) {
        if (digits(p)) into->kind = JSON_FLOAT, whole = p->at;
        else return refuse(p, "a number without digits behind its point");
    }
    if (p->at < p->end && (*p->at == 'e' || *p->at == 'E')) {
        p->at++;
        if (!take(p, '+')) take(p, '-');
        if (!digits(p)) return refuse(p, "a number without digits in its exponent");
        into->kind = JSON_FLOAT, whole = p->at;
    }
    size_t length = (size_t)(whole - start);
    if (into->kind == JSON_INTEGER && length > MOST_DIGITS) return refuse(p, "an integer of too many digits");
    if (length >= MOST_NUMBER) return refuse(p, "a number of too many digits");
    char copy[MOST_NUMBER];
    memcpy(copy, start, length);
    copy[length] = 0;
    locale_t before = uselocale(p->plain);
    into->number = strtod(copy, NULL);
    uselocale(before);
    if (!isfinite(into->number)) return refuse(p, "a number beyond all numbers");
    if (into->kind == JSON_FLOAT) return true;
    uint64_t magnitude = 0;
    into->fits = true;
    for (const char *at = copy + negative; *at; at++) {
        unsigned digit = (unsigned)(*at - '0');
        if (magnitude > (UINT64_MAX - digit) / 10) into->fits = false;
        magnitude = magnitude * 10 + digit;
    }
    if (magnitude > (uint64_t)INT64_MAX + negative) into->fits = false;
    into->integer = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

static int by_key(const void *a, const void *b) {
    const json *first = *(json *const *)a, *second = *(json *const *)b;
    size_t shorter = first->key_length < second->key_length ? first->key_length : second->key_length;
    int order = memcmp(first->key, second->key, shorter);
    return order ? order : (first->key_length > second->key_length) - (first->key_length < second->key_length);
}

static bool unique(parser *p, json *object) {
    if (object->length < 2) return true;
    json **sorted = malloc(object->length * sizeof *sorted);
    if (!sorted) return refuse(p, "");
    size_t count = 0;
    for (json *part = object->parts; part; part = part->next) sorted[count++] = part;
    qsort(sorted, count, sizeof *sorted, by_key);
    bool found = false;
    for (size_t i = 1; i < count && !found; i++) found = by_key(&sorted[i - 1], &sorted[i]) == 0;
    free(sorted);
    return found ? refuse(p, "a key is repeated") : true;
}

static bool container(parser *p, json *into, int levels, char close) {
    if (!levels) return refuse(p, "more than 16 levels inside each other");
    json **last = &into->parts;
    skip_space(p);
    if (take(p, close)) return true;
    do {
        json *part = arena_take(p->arena, 1, sizeof *part);
        if (!part) return refuse(p, "");
        if (into->kind == JSON_OBJECT) {
            skip_space(p);
            if (!text(p, &part->key, &part->key_length)) return false;
            skip_space(p);
            if (!take(p, ':')) return refuse(p, "a key without a value");
        }
        if (!value(p, part, levels - 1)) return false;
        *last = part;
        last = &part->next;
        into->length++;
        skip_space(p);
    } while (take(p, ','));
    if (!take(p, close)) return refuse(p, "a list or object without an end");
    return into->kind == JSON_LIST || unique(p, into);
}

static bool value(parser *p, json *into, int levels) {
    skip_space(p);
    if (p->at == p->end) return refuse(p, "no value where one is due");
    switch (*p->at) {
        case '{':
            p->at++;
            into->kind = JSON_OBJECT;
            return container(p, into, levels, '}');
        case '[':
            p->at++;
            into->kind = JSON_LIST;
            return container(p, into, levels, ']');
        case '"':
            into->kind = JSON_TEXT;
            return text(p, &into->text, &into->length);
        case 't':
            into->kind = JSON_BOOL;
            into->integer = 1;
            return word(p, "true");
        case 'f':
            into->kind = JSON_BOOL;
            return word(p, "false");
        case 'n':
            into->kind = JSON_NULL;
            return word(p, "null");
        default:
            return number(p, into);
    }
}

bool is_utf8(const void *text, size_t length) {
    const unsigned char *at = text, *end = at + length;
    while (at < end) {
        unsigned char c = *at++;
        if (c < 0x80) continue;
        int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
        if (c < 0xc2 || c > 0xf4 || end - at < more) return false;
        unsigned char lowest = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
        unsigned char highest = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
        if (*at < lowest || *at > highest) return false;
        for (int i = 1; i < more; i++)
            if ((at[i] & 0xc0) != 0x80) return false;
        at += more;
    }
    return true;
}

tipsc_code json_parse(arena *arena, const char *text, size_t length, const char *where, json **found,
                      tipsc_error *error) {
    parser p = {.arena = arena, .at = text, .end = text + length};
    json *root = arena_take(arena, 1, sizeof *root);
    p.plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    bool ok = false;
    if (!root || !p.plain) {
        refuse(&p, "");
    } else if (!is_utf8(text, length)) {
        refuse(&p, "it is not UTF-8");
    } else if (value(&p, root, MOST_LEVELS)) {
        skip_space(&p);
        ok = p.at == p.end || refuse(&p, "more behind its end");
    }
    if (p.plain) freelocale(p.plain);
    if (!ok && !*p.wrong) return no_memory(error);
    if (!ok) return fail(error, TIPSC_DAMAGED, REBUILD, "%s: not valid JSON: %s", where, p.wrong);
    *found = root;
    return TIPSC_OK;
}
