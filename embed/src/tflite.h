/* Whether a .tflite is one that tipsc may have written, before a library sees it: docs/engine-format.md, "Form
 * tflite". LiteRT checks little: a buffer beyond the file, an operator that reads a tensor which nothing writes,
 * or a stride of zero ends the process. */
#ifndef TIPSC_TFLITE_H
#define TIPSC_TFLITE_H

#include "manifest.h"

/* TIPSC_DAMAGED for one that is not sound, or not the manifest's. `where` is for errors. */
tipsc_code check_tflite(const uint8_t *data, uint64_t size, const manifest *manifest, const char *where,
                        tipsc_error *error);

#endif
