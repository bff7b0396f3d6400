#include "read.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "decode.h"
#include "graph.h"
#include "map.h"
#include "tflite.h"

enum { PREFIX = 48, VERSION = 3, PAGE = 4096, MAX_HEADER = 1 << 20, MARGIN = 1 << 20, MOST_SECTIONS = 4 };

typedef struct section {
    text name, encoding, sha256;
    uint64_t offset, length;
} section;

typedef struct header {
    section sections[MOST_SECTIONS];
    size_t section_count;
    const json *graphs, *plans; /* lists of objects; `plans` may be NULL */
} header;

static const struct {
    const char *name;
    size_t count;
    const char *sections[MOST_SECTIONS], *encodings[MOST_SECTIONS];
} FORMS[] = {
    {"onnx", 3, {"manifest", "weights", "graphs"}, {"json", "raw", "zlib"}},
    {"tflite", 2, {"manifest", "model"}, {"json", "raw"}},
    {"plans", 4, {"manifest", "weights", "graphs", "plans"}, {"json", "raw", "zlib", "raw"}},
};
enum { ONNX, TFLITE, PLANS };

static tipsc_code damaged(const engine_file *file, const char *what, tipsc_error *error) {
    return fail(error, TIPSC_DAMAGED, REBUILD, "%s: %s", file->source.where, what);
}

static tipsc_code bound(const engine_file *file, const char *what, uint64_t bytes, uint64_t most,
                        tipsc_error *error) {
    if (bytes <= most) return TIPSC_OK;
    return fail(error, TIPSC_DAMAGED, "give other limits if you trust the file",
                "%s: the %s of the engine: more bytes than allowed (expected <= %llu, got %llu)", file->source.where,
                what, (unsigned long long)most, (unsigned long long)bytes);
}

static uint32_t number_at(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static tipsc_code read_header(engine_file *file, char **content, size_t *length, tipsc_error *error) {
    uint8_t prefix[PREFIX], digest[32];
    const source *source = &file->source;
    if (source->size < PREFIX) return damaged(file, source->size ? "this is not an engine" : "the file is empty", error);
    TRY(source_read(source, 0, prefix, PREFIX, error));
    if (memcmp(prefix, "TIPSCENG", 8) != 0) return damaged(file, "this is not an engine", error);
    if (number_at(prefix + 8) != VERSION)
        return fail(error, TIPSC_VERSION, "install the tipsc that wrote it, or build it again",
                    "%s: the engine is of another format version (expected %d, got %u)", source->where, VERSION,
                    (unsigned)number_at(prefix + 8));
    *length = number_at(prefix + 12);
    if (*length > MAX_HEADER) return damaged(file, "the header is too long", error);
    if (*length > source->size - PREFIX) return damaged(file, "the file ends within its header", error);
    *content = arena_take(&file->arena, *length + 1, 1);
    if (!*content) return no_memory(error);
    TRY(source_read(source, PREFIX, *content, *length, error));
    sha256 hash;
    sha256_begin(&hash);
    sha256_add(&hash, *content, *length);
    sha256_end(&hash, digest);
    if (HASHES_MATTER && memcmp(digest, prefix + 16, 32) != 0) return damaged(file, "the header is altered (its SHA-256 differs)", error);
    memcpy(file->content_hash, digest, 32);
    sha256_hex(digest, file->hash);
    return TIPSC_OK;
}

static tipsc_code section_of(const json *value, section *section, tipsc_error *error) {
    wanted keys[] = {{"name", false, NULL}, {"encoding", false, NULL}, {"offset", false, NULL},
                     {"length", false, NULL}, {"sha256", false, NULL}, {NULL, false, NULL}};
    int64_t offset, length;
    TRY(object_of(value, keys, "header.sections", error));
    TRY(text_in(keys[0].found, &section->name, "header.sections.name", error));
    TRY(text_in(keys[1].found, &section->encoding, "header.sections.encoding", error));
    TRY(count_in(keys[2].found, &offset, "header.sections.offset", error));
    TRY(count_in(keys[3].found, &length, "header.sections.length", error));
    TRY(text_in(keys[4].found, &section->sha256, "header.sections.sha256", error));
    section->offset = (uint64_t)offset;
    section->length = (uint64_t)length;
    return TIPSC_OK;
}

static tipsc_code header_of(const json *value, header *header, tipsc_error *error) {
    wanted keys[] = {{"sections", false, NULL}, {"graphs", false, NULL}, {"plans", true, NULL}, {NULL, false, NULL}};
    TRY(object_of(value, keys, "header", error));
    TRY(list_in(keys[0].found, "header.sections", error));
    TRY(list_in(keys[1].found, "header.graphs", error));
    if (keys[2].found) TRY(list_in(keys[2].found, "header.plans", error));
    header->section_count = keys[0].found->length;
    if (header->section_count > MOST_SECTIONS)
        return fail(error, TIPSC_DAMAGED, REBUILD, "header: not the sections of an engine");
    size_t i = 0;
    for (const json *part = keys[0].found->parts; part; part = part->next)
        TRY(section_of(part, &header->sections[i++], error));
    header->graphs = keys[1].found;
    header->plans = keys[2].found;
    return TIPSC_OK;
}

static tipsc_code form_of(const engine_file *file, const header *header, int *form, tipsc_error *error) {
    for (int kind = ONNX; kind <= PLANS; kind++) {
        bool same = FORMS[kind].count == header->section_count;
        for (size_t i = 0; same && i < header->section_count; i++)
            same = is_text(header->sections[i].name, FORMS[kind].sections[i]) &&
                   is_text(header->sections[i].encoding, FORMS[kind].encodings[i]);
        if (same) {
            *form = kind;
            return TIPSC_OK;
        }
    }
    return damaged(file, "not the sections of an engine", error);
}

/* Each byte of the file is in the header, in one section, or a zero between them. */
static tipsc_code check_coverage(const engine_file *file, const header *header, uint64_t at, tipsc_error *error) {
    for (size_t i = 0; i < header->section_count; i++) {
        const section *section = &header->sections[i];
        uint64_t page = (at + PAGE - 1) / PAGE * PAGE;
        if (section->offset != page) return damaged(file, "a section is out of place", error);
        if (page > file->source.size || section->length > file->source.size - page)
            return damaged(file, "the file ends within a section", error);
        uint8_t padding[PAGE];
        TRY(source_read(&file->source, at, padding, (size_t)(page - at), error));
        for (size_t k = 0; k < page - at; k++)
            if (padding[k]) return damaged(file, "the padding before a section is not zero", error);
        at = page + section->length;
    }
    return at == file->source.size ? TIPSC_OK : damaged(file, "there are bytes after the last section", error);
}

static tipsc_code check_hashes(const engine_file *file, const header *header, tipsc_error *error) {
    for (size_t i = 0; i < header->section_count; i++) {
        uint8_t digest[32];
        char hex[65];
        TRY(source_sha256(&file->source, header->sections[i].offset, header->sections[i].length, digest, error));
        sha256_hex(digest, hex);
        if (HASHES_MATTER && !is_text(header->sections[i].sha256, hex))
            return damaged(file, "a section is altered (its SHA-256 differs)", error);
    }
    return TIPSC_OK;
}

static tipsc_code read_manifest(engine_file *file, const section *section, const limits *limits,
                                tipsc_error *error) {
    char *content = arena_take(&file->arena, (size_t)section->length + 1, 1);
    json *value = NULL;
    if (!content) return no_memory(error);
    TRY(source_read(&file->source, section->offset, content, (size_t)section->length, error));
    TRY(json_parse(&file->arena, content, (size_t)section->length, "manifest", &value, error));
    TRY(manifest_of(&file->arena, value, &file->manifest, error));
    return bound(file, "inputs and outputs", call_bytes(&file->manifest), limits->tensor_bytes, error);
}

/* The table of graphs, before anything is unpacked: its sum of lengths. */
static tipsc_code graph_table(engine_file *file, const header *header, uint64_t packed, const limits *limits,
                              uint64_t *sum, tipsc_error *error) {
    map known;
    file->graph_count = header->graphs->length;
    file->graphs = arena_take(&file->arena, file->graph_count, sizeof *file->graphs);
    if (!file->graphs || !map_make(&known, &file->arena, file->graph_count)) return no_memory(error);
    *sum = 0;
    size_t i = 0;
    for (const json *part = header->graphs->parts; part; part = part->next, i++) {
        wanted keys[] = {{"path", false, NULL}, {"length", false, NULL}, {NULL, false, NULL}};
        graph *graph = &file->graphs[i];
        int64_t length;
        TRY(object_of(part, keys, "header.graphs", error));
        TRY(text_in(keys[0].found, &graph->path, "header.graphs.path", error));
        TRY(count_in(keys[1].found, &length, "header.graphs.length", error));
        graph->length = (size_t)length;
        if (!map_at(&known, graph->path.text, graph->path.length)) return no_memory(error);
        if (known.count != i + 1) return damaged(file, "a path has two graphs", error);
        TRY(bound(file, "largest path graph", (uint64_t)length, file->weights_length + MARGIN, error));
        if ((uint64_t)length > limits->graph_bytes || *sum + (uint64_t)length > limits->graph_bytes)
            return bound(file, "path graphs", UINT64_MAX, limits->graph_bytes, error);
        *sum += (uint64_t)length;
    }
    return bound(file, "packed path graphs", packed, *sum + MARGIN, error);
}

static tipsc_code inflated(const engine_file *file, uint8_t *packed, size_t packed_length, uint8_t *into,
                           size_t length, tipsc_error *error) {
    z_stream stream = {.next_in = packed, .avail_in = (uInt)packed_length};
    if (inflateInit(&stream) != Z_OK) return no_memory(error);
    stream.next_out = into;
    stream.avail_out = (uInt)length + 1; /* one more, to see that there is none */
    int state = inflate(&stream, Z_FINISH);
    bool whole = state == Z_STREAM_END && stream.total_out == length && stream.avail_in == 0;
    inflateEnd(&stream);
    return whole ? TIPSC_OK : damaged(file, "section graphs is not what its table says", error);
}

static tipsc_code read_graphs(engine_file *file, const header *header, const section *section, const limits *limits,
                              tipsc_error *error) {
    uint64_t sum = 0;
    TRY(graph_table(file, header, section->length, limits, &sum, error));
    if (sum >= UINT32_MAX || section->length >= UINT32_MAX) return bound(file, "path graphs", sum, UINT32_MAX, error);
    uint8_t *packed = malloc((size_t)section->length + 1);
    file->graph_bytes = malloc((size_t)sum + 1);
    tipsc_code code = packed && file->graph_bytes ? TIPSC_OK : no_memory(error);
    if (code == TIPSC_OK) code = source_read(&file->source, section->offset, packed, (size_t)section->length, error);
    if (code == TIPSC_OK)
        code = inflated(file, packed, (size_t)section->length, file->graph_bytes, (size_t)sum, error);
    free(packed);
    TRY(code);
    const uint8_t *at = file->graph_bytes;
    for (size_t i = 0; i < file->graph_count; at += file->graphs[i++].length) file->graphs[i].data = at;
    for (size_t i = 0; i < file->graph_count; i++) {
        bool known = false;
        for (size_t k = 0; k < file->manifest.path_count && !known; k++)
            known = same_text(file->graphs[i].path, file->manifest.paths[k].id);
        if (!known) return damaged(file, "manifest and graphs name different paths", error);
    }
    if (file->graph_count != file->manifest.path_count)
        return damaged(file, "manifest and graphs name different paths", error);
    return TIPSC_OK;
}

/* The table of plans, compared with the manifest. */
static tipsc_code read_plans(engine_file *file, const header *header, int form, tipsc_error *error) {
    size_t plans = header->plans ? header->plans->length : 0;
    uint64_t section = form == PLANS ? header->sections[3].length : 0, sum = 0;
    uint64_t begin = form == PLANS ? header->sections[3].offset : 0;
    map planned;
    file->plans = arena_take(&file->arena, plans, sizeof *file->plans);
    if (!file->plans || !map_make(&planned, &file->arena, file->manifest.path_count)) return no_memory(error);
    size_t named = 0;
    for (const json *part = plans ? header->plans->parts : NULL; part; part = part->next) {
        plan *plan = &file->plans[file->plan_count++];
        wanted keys[] = {{"paths", false, NULL}, {"length", false, NULL}, {NULL, false, NULL}};
        int64_t length;
        TRY(object_of(part, keys, "header.plans", error));
        TRY(list_in(keys[0].found, "header.plans.paths", error));
        TRY(count_in(keys[1].found, &length, "header.plans.length", error));
        if ((uint64_t)length > section - sum) return damaged(file, "the table of plans is not valid", error);
        plan->at = begin + sum;
        plan->length = (uint64_t)length;
        sum += (uint64_t)length;
        if (!keys[0].found->length) return damaged(file, "a plan is of no path", error);
        plan->paths = arena_take(&file->arena, keys[0].found->length, sizeof *plan->paths);
        if (!plan->paths) return no_memory(error);
        for (const json *path = keys[0].found->parts; path; path = path->next, named++) {
            text *id = &plan->paths[plan->path_count++];
            TRY(text_in(path, id, "header.plans.paths", error));
            if (!map_at(&planned, id->text, id->length)) return no_memory(error);
        }
    }
    if (sum != section) return damaged(file, "the table of plans is not valid", error);
    if ((plans > 0) != (form == PLANS)) return damaged(file, "plans without a section, or one without plans", error);
    size_t expected = file->manifest.has_built ? file->manifest.path_count : 0;
    bool fit = named == expected && planned.count == expected;
    for (size_t i = 0; fit && i < expected; i++)
        fit = map_find(&planned, file->manifest.paths[i].id.text, file->manifest.paths[i].id.length) != NULL;
    return fit ? TIPSC_OK : damaged(file, "manifest and plans name different paths", error);
}

static tipsc_code check_form(const engine_file *file, const header *header, tipsc_error *error) {
    uint8_t identifier[4] = {0};
    if (file->manifest.has_built) return damaged(file, "no device finishes a .tflite", error);
    if (file->weights_length >= 8) TRY(source_read(&file->source, file->weights_at + 4, identifier, 4, error));
    if (memcmp(identifier, "TFL3", 4) != 0 || header->graphs->length || (header->plans && header->plans->length))
        return damaged(file, "section model is not a .tflite", error);
    return TIPSC_OK;
}

static tipsc_code parse(engine_file *file, const limits *limits, tipsc_error *error) {
    char *content = NULL;
    size_t length = 0;
    json *value = NULL;
    header header = {0};
    int form = ONNX;
    TRY(bound(file, "file", file->source.size, limits->file_bytes, error));
    TRY(read_header(file, &content, &length, error));
    TRY(json_parse(&file->arena, content, length, "header", &value, error));
    TRY(header_of(value, &header, error));
    TRY(form_of(file, &header, &form, error));
    TRY(check_coverage(file, &header, PREFIX + length, error));
    TRY(bound(file, "manifest", header.sections[0].length, limits->manifest_bytes, error));
    TRY(check_hashes(file, &header, error));
    TRY(read_manifest(file, &header.sections[0], limits, error));
    file->weights_at = header.sections[1].offset;
    file->weights_length = header.sections[1].length;
    file->is_tflite = form == TFLITE;
    file->has_plans = form == PLANS;
    if (form == TFLITE) {
        TRY(check_form(file, &header, error));
    } else {
        TRY(read_graphs(file, &header, &header.sections[2], limits, error));
        TRY(read_plans(file, &header, form, error));
    }
    return source_unchanged(&file->source, error); /* what was read part by part is one file */
}

tipsc_code read_engine(engine_file *file, source source, const limits *limits, tipsc_error *error) {
    *file = (engine_file){.source = source};
    tipsc_code code = parse(file, limits, error);
    if (code != TIPSC_OK) engine_file_close(file);
    return code;
}

void engine_file_close(engine_file *file) {
    source_close(&file->source);
    free(file->graph_bytes);
    arena_free(&file->arena);
    *file = (engine_file){.source.descriptor = -1};
}

tipsc_code checked_graph(const engine_file *file, const path_entry *path, const graph **found, tipsc_error *error) {
    for (size_t i = 0; i < file->graph_count; i++)
        if (same_text(file->graphs[i].path, path->id)) {
            *found = &file->graphs[i];
            return check_graph(&file->graphs[i], &file->manifest, path, file->weights_length, error);
        }
    return fail(error, TIPSC_PATH, NULL, "%s: there is no graph of path %s", file->source.where, path->id.text);
}

tipsc_code checked_tflite(const engine_file *file, const uint8_t **model, void **owned, tipsc_error *error) {
    TRY(source_view(&file->source, file->weights_at, file->weights_length, model, owned, error));
    tipsc_code code = check_tflite(*model, file->weights_length, &file->manifest, file->source.where, error);
    if (code == TIPSC_OK) code = source_unchanged(&file->source, error);
    if (code == TIPSC_OK) return TIPSC_OK;
    free(*owned);
    *owned = NULL;
    return code;
}
