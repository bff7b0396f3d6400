#include "protobuf.h"

bool next_varint(bytes *rest, uint64_t *value, bool *shortest) {
    uint64_t found = 0;
    for (size_t i = 0; i < rest->length && i < 10; i++) {
        uint8_t byte = rest->data[i];
        if (i == 9 && byte > 1) return false; /* bits beyond 64 */
        found |= (uint64_t)(byte & 127) << 7 * i;
        if (byte < 128) {
            *value = found;
            *shortest = i == 0 || byte != 0;
            rest->data += i + 1;
            rest->length -= i + 1;
            return true;
        }
    }
    return false;
}

int next_field(bytes *rest, field *field) {
    if (!rest->length) return 0;
    const uint8_t *start = rest->data;
    uint64_t tag;
    bool shortest = true;
    *field = (struct field){0};
    if (!next_varint(rest, &tag, &field->shortest) || tag >> 3 == 0 || tag >> 3 > UINT32_MAX) return -1;
    field->number = (uint32_t)(tag >> 3);
    field->wire = (int)(tag & 7);
    if (field->wire == WIRE_VARINT) {
        if (!next_varint(rest, &field->value, &shortest)) return -1;
    } else {
        uint64_t length = field->wire == WIRE_EIGHT ? 8 : 4;
        if (field->wire == WIRE_BYTES) {
            if (!next_varint(rest, &length, &shortest)) return -1;
            field->shortest &= shortest;
        } else if (field->wire != WIRE_EIGHT && field->wire != WIRE_FOUR) {
            return -1;
        }
        if (length > rest->length) return -1;
        field->content = (bytes){rest->data, (size_t)length};
        rest->data += length;
        rest->length -= (size_t)length;
    }
    field->whole = (bytes){start, (size_t)(rest->data - start)};
    return 1;
}
