/* What runs the paths of an engine: a backend offers these functions. */
#ifndef TIPSC_RUNTIME_H
#define TIPSC_RUNTIME_H

#include "read.h"

typedef struct runtime runtime;
typedef struct runtime_kind runtime_kind;

/* An input or output of a path. */
typedef struct tensor {
    const tensor_spec *spec;
    const int64_t *shape; /* the batch of the path included */
    uint64_t bytes;
} tensor;

/* A path that is opened. */
typedef struct opened_path {
    const path_entry *entry;
    const tensor *inputs, *outputs;
} opened_path;

typedef struct opening {
    engine_file *file;
    const char *name; /* of the file; NULL: in memory */
    const tipsc_options *options;
    const opened_path *paths;
    size_t path_count;
} opening;

struct runtime_kind {
    const char *backend;
    bool of_tflite, of_plans; /* forms of an engine; neither: graphs alone */
    size_t bytes; /* of what it has as `runtime`, which begins with that */
    /* Into so many zeros; `free` follows where it fails as well. */
    tipsc_code (*open)(runtime *runtime, const opening *opening, tipsc_error *error);
    /* Gives all back but what `unbind` needs; no call runs. */
    void (*close)(runtime *runtime);
    /* What `close` does if it was not called, and the rest but for `runtime` itself. */
    void (*free)(runtime *runtime);
    /* What a context keeps of a path between calls. */
    tipsc_code (*bind)(runtime *runtime, size_t path, void **binding, tipsc_error *error);
    void (*unbind)(runtime *runtime, void *binding);
    tipsc_code (*run)(runtime *runtime, size_t path, void *binding, const tipsc_buffer *inputs,
                      const tipsc_buffer *outputs, tipsc_error *error);
};

struct runtime {
    const runtime_kind *kind;
};

extern const runtime_kind ORT_RUNTIME, LITERT_RUNTIME;
#ifdef TIPSC_WITH_TENSORRT
extern const runtime_kind TENSORRT_RUNTIME;
#endif

#endif
