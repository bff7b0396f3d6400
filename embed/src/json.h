/* JSON as docs/engine-format.md takes it: RFC 8259, no key twice, bounded levels and integers. */
#ifndef TIPSC_JSON_H
#define TIPSC_JSON_H

#include <stdbool.h>

#include "arena.h"
#include "error.h"

typedef enum { JSON_NULL, JSON_BOOL, JSON_INTEGER, JSON_FLOAT, JSON_TEXT, JSON_LIST, JSON_OBJECT } json_kind;

typedef struct json json;
struct json {
    json_kind kind;
    bool fits;       /* of an integer: `integer` has it; otherwise only `number` */
    int64_t integer; /* of a bool: 0 or 1 */
    double number;   /* of integers and floats */
    const char *text; /* a zero byte follows; may hold others */
    size_t length;    /* of `text`, or how many are in the list or object */
    json *parts;      /* of a list or object, the first */
    json *next;       /* of the same list or object */
    const char *key;  /* in an object */
    size_t key_length;
};

/* Parses all of `text`; what it gives lies in `arena`. `where` is for errors. */
tipsc_code json_parse(arena *arena, const char *text, size_t length, const char *where, json **value,
                      tipsc_error *error);

bool is_utf8(const void *text, size_t length);

#endif
