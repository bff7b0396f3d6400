#include "decode.h"

#include <string.h>

static tipsc_code wrong(const char *expected, const char *where, tipsc_error *error) {
    return fail(error, TIPSC_DAMAGED, REBUILD, "%s: wrong type (expected %s)", where, expected);
}

tipsc_code object_of(const json *value, wanted *keys, const char *where, tipsc_error *error) {
    if (value->kind != JSON_OBJECT) return wrong("an object", where, error);
    for (const json *part = value->parts; part; part = part->next) {
        wanted *key = keys;
        while (key->key && (strlen(key->key) != part->key_length || memcmp(key->key, part->key, part->key_length) != 0))
            key++;
        if (!key->key) return fail(error, TIPSC_DAMAGED, REBUILD, "%s: unknown key %.60s", where, part->key);
        key->found = part;
    }
    for (wanted *key = keys; key->key; key++)
        if (!key->found && !key->optional)
            return fail(error, TIPSC_DAMAGED, REBUILD, "%s: key %s is missing", where, key->key);
    return TIPSC_OK;
}

tipsc_code list_in(const json *value, const char *where, tipsc_error *error) {
    return value->kind == JSON_LIST ? TIPSC_OK : wrong("a list", where, error);
}

tipsc_code text_in(const json *value, text *into, const char *where, tipsc_error *error) {
    if (value->kind != JSON_TEXT) return wrong("a string", where, error);
    *into = (text){value->text, value->length};
    return TIPSC_OK;
}

tipsc_code integer_in(const json *value, int64_t *into, const char *where, tipsc_error *error) {
    if (value->kind != JSON_INTEGER || !value->fits) return wrong("an integer of 64 bits", where, error);
    *into = value->integer;
    return TIPSC_OK;
}

tipsc_code count_in(const json *value, int64_t *into, const char *where, tipsc_error *error) {
    TRY(integer_in(value, into, where, error));
    return *into >= 0 ? TIPSC_OK : fail(error, TIPSC_DAMAGED, REBUILD, "%s: is negative", where);
}

tipsc_code number_in(const json *value, double *into, const char *where, tipsc_error *error) {
    if (value->kind != JSON_INTEGER && value->kind != JSON_FLOAT) return wrong("a finite number", where, error);
    *into = value->number;
    return TIPSC_OK;
}

tipsc_code texts_in(const json *value, const char *where, tipsc_error *error) {
    if (value->kind != JSON_OBJECT) return wrong("an object", where, error);
    for (const json *part = value->parts; part; part = part->next)
        if (part->kind != JSON_TEXT) return wrong("a string", where, error);
    return TIPSC_OK;
}

bool is_text(text text, const char *other) {
    return text.length == strlen(other) && memcmp(text.text, other, text.length) == 0;
}

bool same_text(text a, text b) { return a.length == b.length && memcmp(a.text, b.text, a.length) == 0; }
