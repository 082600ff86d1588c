/* order.h - qsort comparisons by several keys, one key per line: LSPO_ORDER(a->start_ns, b->start_ns) ... return 0; */
#ifndef LSPO_TRACES_ORDER_H
#define LSPO_TRACES_ORDER_H

#define LSPO_ORDER(a, b)                                                                                               \
    if ((a) != (b))                                                                                                    \
        return (a) < (b) ? -1 : 1;

#endif
