/* chunks.h - messages in parts: --chunk-bytes, --subgroup-size of deep-optimizer-states, and --bucket-size of axonn.
 *
 * A stage's message of E elements crosses the link in parts of C elements, the last one in what is left; the CPU
 * updates each part when it has arrived, and each part of the result goes back when it is there.  Parts of
 * parameters are written into the weights as they come, so that the GPU has no room for the whole message; a delta
 * is applied as a whole.  C is the largest multiple of LSPO_CHUNK_GRAIN that --chunk-bytes holds in the link's
 * format, but at least one, and no message has more than LSPO_CHUNKS_MAX parts.  A part is an op of its own
 * (lspo_op_t.micro has its number), so that a lane may serve another message between two parts.
 *
 * With --subgroup-size or --bucket-size S, rounded down to a multiple of LSPO_CHUNK_GRAIN but at least one grain, a
 * message of E parameters has ceil(E / S) parts, all but the last of the same number C of elements, the least multiple
 * of LSPO_CHUNK_GRAIN that is enough.
 *
 * The numbers of an update do not depend on the parts, since they begin with a whole block of every format of Adam's
 * state. */
#ifndef LSPO_PLAN_CHUNKS_H
#define LSPO_PLAN_CHUNKS_H

#include <stdint.h>

#include "plan/plan.h"

/* Elements: blocks that the CPU's workers share out (real/session/state.h). */
enum { LSPO_CHUNK_GRAIN = 16384, LSPO_CHUNKS_MAX = 32768 };

/* C of a message of so many elements, and of them part `part`, and where it begins; 0: the message is whole. */
uint64_t lspo_chunk_of(const lspo_plan_t *plan, uint64_t elements);
uint64_t lspo_chunk_part(uint64_t chunk, uint64_t elements, uint32_t part, uint64_t *first_out);

/* Parts of a message of so many elements: 1 unless the policy has one of these and it is smaller. */
uint32_t lspo_chunk_count(const lspo_plan_t *plan, uint64_t elements);
/* The elements of part `part` of it, and where it begins. */
uint64_t lspo_chunk_elements(const lspo_plan_t *plan, uint64_t elements, uint32_t part, uint64_t *first_out);

#endif
