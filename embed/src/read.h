/* An engine file, read in the order of docs/engine-format.md: nothing in it is believed before it is
 * checked. */
#ifndef TIPSC_READ_H
#define TIPSC_READ_H

#include "manifest.h"
#include "source.h"

typedef struct limits {
    uint64_t file_bytes, manifest_bytes, graph_bytes, tensor_bytes;
} limits;

typedef struct graph {
    text path;
    const uint8_t *data;
    size_t length;
} graph;

/* What a device's compiler made of one path or more; where it lies in the file. */
typedef struct plan {
    text *paths; /* their ids, in the order of its switches */
    size_t path_count;
    uint64_t at, length;
} plan;

typedef struct engine_file {
    arena arena;
    source source;
    manifest manifest;
    char hash[65];
    uint8_t content_hash[32]; /* the same */
    bool is_tflite, has_plans;
    uint64_t weights_at, weights_length; /* of the weights, or the .tflite */
    graph *graphs; /* as many as paths; none in form tflite */
    size_t graph_count;
    uint8_t *graph_bytes;
    plan *plans; /* in form plans */
    size_t plan_count;
} engine_file;

/* Takes the source over, also if it fails. */
tipsc_code read_engine(engine_file *file, source source, const limits *limits, tipsc_error *error);
void engine_file_close(engine_file *file);

/* The graph of a path, checked: only now, since once an engine is finalised nobody asks for it. */
tipsc_code checked_graph(const engine_file *file, const path_entry *path, const graph **found, tipsc_error *error);

/* The .tflite, checked: only now, since a finalised one was. `owned` is to be freed; `model` lives as long. */
tipsc_code checked_tflite(const engine_file *file, const uint8_t **model, void **owned, tipsc_error *error);

#endif
