/* Who made an engine: the file of signatures beside it (docs/engine-format.md, "Signatures"). */
#ifndef TIPSC_SIGNED_H
#define TIPSC_SIGNED_H

#include "read.h"

/* TIPSC_SIGNATURE if none of the keys in `options` has signed the engine, whose file is `name`; NULL: it is in
 * memory, which has no such file. */
tipsc_code check_signed(const engine_file *file, const char *name, const tipsc_options *options, tipsc_error *error);

#endif
