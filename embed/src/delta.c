#include "delta.h"

#include <stdlib.h>
#include <string.h>

enum { HEAD = 104, BODY = 136, DELTA_VERSION = 1, MOST_PIECES = 1 << 24, PIECE = 16 };
#define MOST_FILE (UINT64_C(1) << 39)    /* of base and target: sums of 2^24 lengths cannot overflow then */
#define MOST_CARRIED (UINT64_C(1) << 32)
#define MOST_RATIO 1032 /* of deflate: a byte stands for no more */

static tipsc_code damaged(const delta *delta, const char *how, tipsc_error *error) {
    return fail(error, TIPSC_DAMAGED, "transfer it again", "%s: the delta is damaged: %s", delta->source.where, how);
}

static uint64_t little_endian(const uint8_t *at, int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) value |= (uint64_t)at[i] << 8 * i;
    return value;
}

static tipsc_code check_hash(const delta *delta, const uint8_t *head, tipsc_error *error) {
    sha256 hash;
    uint8_t part[DELTA_PART], digest[32];
    sha256_begin(&hash);
    sha256_add(&hash, head, HEAD);
    for (uint64_t at = BODY; at < delta->source.size;) {
        uint64_t left = delta->source.size - at;
        size_t now = left < DELTA_PART ? (size_t)left : DELTA_PART;
        TRY(source_read(&delta->source, at, part, now, error));
        sha256_add(&hash, part, now);
        at += now;
    }
    sha256_end(&hash, digest);
    if (HASHES_MATTER && memcmp(digest, head + HEAD, 32) != 0) return damaged(delta, "its hash is another", error);
    return TIPSC_OK;
}

static tipsc_code read_head(delta *delta, tipsc_error *error) {
    uint8_t head[BODY];
    const char *where = delta->source.where;
    if (delta->source.size < BODY)
        return fail(error, TIPSC_USAGE, "make it with tipsc delta", "%s: this is no delta of an engine", where);
    TRY(source_read(&delta->source, 0, head, BODY, error));
    if (memcmp(head, "TIPSCDEL", 8) != 0)
        return fail(error, TIPSC_USAGE, "make it with tipsc delta", "%s: this is no delta of an engine", where);
    if (little_endian(head + 8, 4) != DELTA_VERSION)
        return fail(error, TIPSC_USAGE, "make it with this tipsc", "%s: the delta is of another version (expected %d, got %llu)",
                    where, DELTA_VERSION, (unsigned long long)little_endian(head + 8, 4));
    TRY(check_hash(delta, head, error));
    delta->piece_count = (size_t)little_endian(head + 12, 4);
    delta->base_length = little_endian(head + 16, 8);
    memcpy(delta->base_sha256, head + 24, 32);
    delta->target_length = little_endian(head + 56, 8);
    memcpy(delta->target_sha256, head + 64, 32);
    delta->carried_length = little_endian(head + 96, 8);
    if (delta->piece_count > MOST_PIECES || delta->carried_length > delta->target_length ||
        delta->carried_length > MOST_CARRIED)
        return damaged(delta, "it says that it holds more than it can", error);
    if (delta->base_length >= MOST_FILE || delta->target_length >= MOST_FILE)
        return damaged(delta, "it says that it is for a file of more than 512 GiB", error);
    uint64_t unpacked = (uint64_t)delta->piece_count * PIECE + delta->carried_length;
    if (unpacked / MOST_RATIO > delta->source.size)
        return damaged(delta, "it says that it holds more than it can", error);
    return TIPSC_OK;
}

/* Reads on, where the stream has used up what was read. */
static tipsc_code refill(delta *delta, tipsc_error *error) {
    uint64_t left = delta->source.size - delta->at;
    size_t now = left < DELTA_PART ? (size_t)left : DELTA_PART;
    if (delta->stream.avail_in || !now) return TIPSC_OK;
    TRY(source_read(&delta->source, delta->at, delta->packed, now, error));
    delta->at += now;
    delta->stream.next_in = delta->packed;
    delta->stream.avail_in = (uInt)now;
    return TIPSC_OK;
}

/* Unpacks the next bytes. */
static tipsc_code unpack(delta *delta, void *into, size_t bytes, tipsc_error *error) {
    z_stream *stream = &delta->stream;
    stream->next_out = into;
    stream->avail_out = (uInt)bytes;
    while (stream->avail_out) {
        TRY(refill(delta, error));
        int state = inflate(stream, Z_NO_FLUSH);
        if (state == Z_STREAM_END && !stream->avail_out) break;
        if (state == Z_STREAM_END) return damaged(delta, "what it holds has another length than it says", error);
        if (state != Z_OK) return damaged(delta, "it cannot be unpacked", error);
    }
    return TIPSC_OK;
}

static tipsc_code read_pieces(delta *delta, tipsc_error *error) {
    uint8_t packed[PIECE];
    uint64_t sum = 0, carried = 0;
    delta->pieces = calloc(delta->piece_count + 1, sizeof *delta->pieces);
    if (!delta->pieces) return no_memory(error);
    for (size_t i = 0; i < delta->piece_count; i++) {
        TRY(unpack(delta, packed, PIECE, error));
        piece *piece = &delta->pieces[i];
        piece->place = little_endian(packed, 8);
        piece->length = little_endian(packed + 8, 8);
        if (piece->length > delta->target_length - sum) return damaged(delta, "its pieces make no whole file", error);
        sum += piece->length;
        if (piece->place == CARRIED) carried += piece->length;
        else if (piece->place > delta->base_length || piece->length > delta->base_length - piece->place)
            return damaged(delta, "a piece lies outside of the file that it is copied from", error);
    }
    if (sum != delta->target_length || carried != delta->carried_length)
        return damaged(delta, "its pieces make no whole file", error);
    return TIPSC_OK;
}

tipsc_code delta_open(delta *delta, const char *file, tipsc_error *error) {
    memset(delta, 0, sizeof *delta);
    delta->source.descriptor = -1;
    TRY(source_file(&delta->source, file, error));
    delta->at = BODY;
    tipsc_code code = read_head(delta, error);
    if (code == TIPSC_OK) {
        delta->has_stream = inflateInit(&delta->stream) == Z_OK;
        code = delta->has_stream ? read_pieces(delta, error) : no_memory(error);
    }
    if (code != TIPSC_OK) delta_close(delta);
    return code;
}

tipsc_code delta_carried(delta *delta, void *into, size_t bytes, tipsc_error *error) {
    return bytes ? unpack(delta, into, bytes, error) : TIPSC_OK;
}

tipsc_code delta_end(delta *delta, tipsc_error *error) {
    uint8_t more;
    z_stream *stream = &delta->stream;
    int state = Z_OK;
    stream->next_out = &more;
    stream->avail_out = 1;
    while (state == Z_OK && stream->avail_out) {
        TRY(refill(delta, error));
        state = inflate(stream, Z_NO_FLUSH);
    }
    if (state != Z_STREAM_END || !stream->avail_out || stream->avail_in || delta->at != delta->source.size)
        return damaged(delta, "what it holds has another length than it says", error);
    return source_unchanged(&delta->source, error);
}

void delta_close(delta *delta) {
    if (delta->has_stream) inflateEnd(&delta->stream);
    free(delta->pieces);
    source_close(&delta->source);
    delta->has_stream = false;
    delta->pieces = NULL;
}
