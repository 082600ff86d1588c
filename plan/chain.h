/* chain.h - the peers that train a model, in the order in which activations pass them, and the stages of each.
 *
 * As a text: "fast*2:10/slow:4" is two peers of kind fast with 10 stages each, and then one of kind slow with 4. */
#ifndef LSPO_PLAN_CHAIN_H
#define LSPO_PLAN_CHAIN_H

#include <stdint.h>

#include "base/status.h"
#include "plan/network.h"

typedef struct {
    uint32_t kind;   /* of the network */
    uint32_t stages; /* at least 1 */
} lspo_chain_peer_t;

typedef struct {
    lspo_chain_peer_t *peers; /* owned */
    uint32_t count;
    size_t capacity;
} lspo_chain_t;

/* LSPO_ERR_INPUT, with `what` in the message, for a text that is none, for more peers of a kind than there are or one
 * without memory, and if the stages are not `stage_count` together. */
lspo_status_t lspo_chain_parse(const char *what, const char *text, const lspo_network_t *network, uint32_t stage_count,
                               lspo_chain_t *chain_out);

/* The peers of a text that can be read, without a look at the network. */
uint32_t lspo_chain_peer_count(const char *text);

/* All peers with memory in the order of the file, or as many as there are blocks, with equal numbers of blocks; the
 * first ones have one more, the first one the embedding, the last one the head. */
lspo_status_t lspo_chain_even(const lspo_network_t *network, uint32_t stage_count, lspo_chain_t *chain_out);

lspo_status_t lspo_chain_add(lspo_chain_t *chain, uint32_t kind, uint32_t stages);
/* Accepts a chain that is all zero. */
void lspo_chain_release(lspo_chain_t *chain);

/* The text; malloc'd. */
lspo_status_t lspo_chain_write(const lspo_chain_t *chain, const lspo_network_t *network, char **text_out);

#endif
