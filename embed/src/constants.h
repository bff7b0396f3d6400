/* That operations on constants alone give a bounded number of values: docs/engine-format.md, "Constants
 * that grow". A library that opens a graph computes them, and a few bytes can ask for gigabytes. */
#ifndef TIPSC_CONSTANTS_H
#define TIPSC_CONSTANTS_H

#include "protobuf.h"

/* Of a GraphProto whose fields were checked. False with `wrong` NULL: there is no memory. */
bool constants_are_bounded(bytes graph, const char **wrong);

#endif
