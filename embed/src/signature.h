#ifndef TIPSC_SIGNATURE_H
#define TIPSC_SIGNATURE_H

#include "manifest.h"

/* Fills inputs and outputs of the manifest. */
tipsc_code signature_of(arena *arena, const json *value, manifest *manifest, tipsc_error *error);

#endif
