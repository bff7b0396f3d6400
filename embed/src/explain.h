/* Why a governor would run which path: what each of them would take, and what speaks against it. */
#ifndef TIPSC_EXPLAIN_H
#define TIPSC_EXPLAIN_H

#include "rule.h"

/* Writes the table of tipsc/runtime/explain.py, cut to `room` bytes. */
void explain(rule *rule, const decision *decision, char *text, size_t room);

#endif
