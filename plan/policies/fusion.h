/* fusion.h - own parameters of fusion. */
#ifndef LSPO_PLAN_POLICIES_FUSION_H
#define LSPO_PLAN_POLICIES_FUSION_H

#include "plan/parameter.h"

/* In the order of --peer-order's words. */
typedef enum { LSPO_PEER_ORDER_1F1B, LSPO_PEER_ORDER_GPIPE } lspo_peer_order_t;

typedef struct LSPO_VALUES_BLOCK {
    uint32_t peers;           /* TEXT: a file of peers (plan/network.h); 0: one, the machine */
    uint32_t chain;           /* TEXT: plan/chain.h; 0: auto */
    uint32_t peer_order;      /* lspo_peer_order_t */
    uint32_t optimizer_state; /* lspo_optimizer_state_t */
    double compress_links;    /* R of the slowest link; 1: none is compressed */
    bool link_feedback;       /* of the gradients that are compressed */
} lspo_fusion_values_t;
extern const lspo_parameters_t lspo_fusion_parameters;
LSPO_VALUES(fusion);

extern const lspo_parameter_t lspo_parameter_peers, lspo_parameter_chain;

#endif
