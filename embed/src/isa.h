/* The instruction set of this machine, as far as a finalised graph depends on it. */
#ifndef TIPSC_ISA_H
#define TIPSC_ISA_H

enum { MOST_ISA = 512 };

/* Architecture and the flags that matter, such as "x86_64 avx avx2 f16c fma sse4_1", into MOST_ISA bytes. */
void instruction_set(char *into);

#endif
