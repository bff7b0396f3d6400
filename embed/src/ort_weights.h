/* The weights of a finalised engine: one read-only map of one file for all its sessions. */
#ifndef TIPSC_ORT_WEIGHTS_H
#define TIPSC_ORT_WEIGHTS_H

#include "json.h"
#include "map.h"
#include "ort_library.h"

typedef struct ort_weights {
    void *mapped;
    size_t length;
    arena arena; /* for as long as sessions are opened */
    json *constants;
    map views;         /* by place, type and shape, one of `values` */
    OrtValue **values; /* that outlive the sessions */
    size_t value_count, value_room;
} ort_weights;

/* Of a folder that ort_finalise wrote, found sound. */
tipsc_code ort_weights_open(ort_weights *weights, const char *folder, tipsc_error *error);
/* Gives the session of a path its constants as views of the map. What is not given here ONNX Runtime maps
 * from the file by itself, at an address of its own for each session. */
tipsc_code ort_weights_feed(ort_weights *weights, const ort *ort, const OrtMemoryInfo *memory,
                            OrtSessionOptions *options, const char *path, tipsc_error *error);
/* No session will be fed any more. */
void ort_weights_opened(ort_weights *weights);
void ort_weights_close(ort_weights *weights, const ort *ort);

#endif
