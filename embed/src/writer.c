#include "writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void put(writer *writer, const void *data, size_t bytes) {
    if (writer->failed || !bytes) return;
    if (bytes > writer->room - writer->length) {
        size_t room = writer->room ? writer->room : 256;
        while (room - writer->length < bytes && room < SIZE_MAX / 2) room *= 2;
        uint8_t *grown = room - writer->length < bytes ? NULL : realloc(writer->data, room);
        if (!grown) {
            writer->failed = true;
            return;
        }
        writer->data = grown;
        writer->room = room;
    }
    memcpy(writer->data + writer->length, data, bytes);
    writer->length += bytes;
}

void put_text(writer *writer, const char *text) { put(writer, text, strlen(text)); }

void put_number(writer *writer, uint64_t number) {
    char text[24];
    put(writer, text, (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)number));
}

static void put_escape(writer *writer, unsigned unit) {
    char text[8];
    put(writer, text, (size_t)snprintf(text, sizeof text, "\\u%04x", unit));
}

void put_json(writer *writer, const char *text, size_t length) {
    static const char plain[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
    put(writer, "\"", 1);
    for (size_t i = 0; i < length;) {
        unsigned char c = (unsigned char)text[i++];
        const char *at = c ? strchr(plain, c) : NULL;
        if (at) {
            char escape[2] = {'\\', names[at - plain]};
            put(writer, escape, 2);
        } else if (c < 0x20) {
            put_escape(writer, c);
        } else if (c < 0x80) {
            put(writer, &c, 1);
        } else {
            int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
            uint32_t code = c & (0x3fu >> more);
            for (; more && i < length; more--) code = code << 6 | ((unsigned char)text[i++] & 63);
            if (code >= 0x10000) {
                put_escape(writer, 0xd800 + ((code - 0x10000) >> 10));
                put_escape(writer, 0xdc00 + ((code - 0x10000) & 0x3ff));
            } else {
                put_escape(writer, code);
            }
        }
    }
    put(writer, "\"", 1);
}

void put_varint(writer *writer, uint64_t value) {
    uint8_t byte;
    for (; value > 127; value >>= 7) {
        byte = (uint8_t)(value & 127) | 128;
        put(writer, &byte, 1);
    }
    byte = (uint8_t)value;
    put(writer, &byte, 1);
}

void writer_free(writer *writer) {
    free(writer->data);
    *writer = (struct writer){NULL, 0, 0, false};
}
