/* allocator.h - the memory of liblspo.
 *
 * The linker of the library sends its malloc(), free() and the like here (--wrap, lib/local.am), so that plan and
 * simulator need not know: each is served by the functions of the context that the calling thread works for.  The C
 * library's own calls, within fopen() or newlocale(), are not among them. */
#ifndef LSPO_LIB_ALLOCATOR_H
#define LSPO_LIB_ALLOCATOR_H

#include "lib/lspo.h"

/* From now on the calling thread uses the functions in `options`, which live as long; NULL, or without functions:
 * malloc().  Returns what it used before. */
const lspo_options *lspo_allocator_use(const lspo_options *options);

#endif
