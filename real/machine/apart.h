/* apart.h - a call in a process of its own, for libraries that crash where memory is short.
 *
 * hwloc and PAPI end the process, by a signal, when an allocation of their own fails.  So hwloc runs in a child, and
 * PAPI is tried in one first.  The result, plain bytes without pointers, comes back through a pipe.
 */
#ifndef LSPO_REAL_MACHINE_APART_H
#define LSPO_REAL_MACHINE_APART_H

#include <stddef.h>

#include "base/status.h"

/* Fills `result`; logs what fails. */
typedef lspo_status_t (*lspo_apart_call_t)(const void *context, void *result);

/* The status and, with LSPO_OK, the result of the call; LSPO_ERR_MEMORY when the child did not come back.  `what` is
 * what it does, for the message; NULL: no message.  Where no process can be started, the call is made here. */
lspo_status_t lspo_call_apart(const char *what, lspo_apart_call_t call, const void *context, void *result,
                              size_t result_bytes);

#endif
