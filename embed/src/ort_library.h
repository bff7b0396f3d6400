#ifndef TIPSC_ORT_LIBRARY_H
#define TIPSC_ORT_LIBRARY_H

#include <stdbool.h>

#include "error.h"
#include "ort_api.h"

/* Loads ONNX Runtime from a file, as dlopen takes it; NULL: libonnxruntime.so.1. It stays loaded. */
tipsc_code ort_load(ort *ort, const char *file, tipsc_error *error);

/* TIPSC_OK for a status that is NULL; else an error that says what it was about, and frees the status. */
tipsc_code ort_done(const ort *ort, OrtStatus *status, const char *about, tipsc_error *error);

#endif
