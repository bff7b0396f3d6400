/* What the graph of a path may hold: docs/engine-format.md, "What a graph may hold". */
#ifndef TIPSC_GRAPH_H
#define TIPSC_GRAPH_H

#include "read.h"

tipsc_code check_graph(const graph *graph, const manifest *manifest, const path_entry *path, uint64_t weights,
                       tipsc_error *error);

#endif
