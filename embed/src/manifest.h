/* What an engine says about itself, every key of it checked. */
#ifndef TIPSC_MANIFEST_H
#define TIPSC_MANIFEST_H

#include <stdbool.h>

#include "json.h"

typedef struct text {
    const char *text; /* a zero byte follows */
    size_t length;
} text;

typedef struct tensor_spec {
    text name;
    int dtype; /* a tipsc_dtype */
    size_t rank;
    const int64_t *shape;
    const char *layout;
    bool has_batch; /* an axis of the layout is N, */
    size_t batch_axis; /* this one */
} tensor_spec;

typedef struct path_entry {
    text id;
    bool has_quality, has_latency, has_pause, has_energy, higher;
    text quality_name, quality_unit;
    double quality, p10_ms, p50_ms, p95_ms, pause_ms, energy_mj;
    int64_t macs, parameters, shared_bytes, private_bytes, batch;
} path_entry;

typedef struct manifest {
    text name, target, backend, noise;
    tensor_spec *inputs, *outputs;
    size_t input_count, output_count;
    path_entry *paths; /* the fastest first */
    size_t path_count;
    bool has_recipe, has_built;
    const json *built; /* of texts: by what a device finished it; NULL: nothing is said */
} manifest;

tipsc_code manifest_of(arena *arena, const json *value, manifest *manifest, tipsc_error *error);

/* What `built` says under a key; "unknown" if it says nothing. */
text built_of(const manifest *manifest, const char *key);

/* Bytes of an element. */
size_t element_bytes(int dtype);
/* The axis's length for a path of so many examples. */
int64_t length_for(const tensor_spec *spec, size_t axis, int64_t batch);
/* Bytes of the tensor; UINT64_MAX if they are more than fit. */
uint64_t tensor_bytes(const tensor_spec *spec, int64_t batch);
/* Bytes of all inputs and outputs of the path with the largest batch. */
uint64_t call_bytes(const manifest *manifest);

#endif
