/* heap.h - memory that the process has freed. */
#ifndef LSPO_BASE_HEAP_H
#define LSPO_BASE_HEAP_H

/* What is freed from now on stays in the process for what is allocated next, with glibc blocks up to 32 MiB and 256 MiB
 * in all: a prediction builds and plays many plans, one after the other, and the system takes longer to clear new pages
 * than lspo to write them. */
void lspo_heap_keep(void);

#endif
