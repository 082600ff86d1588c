/* network.h - peers of unequal speed, memory and links: a file of peers.
 *
 * An INI file.  Peers that are alike are one *kind*, with a count:
 *     [peers]                     ; for all peers that do not say otherwise
 *     machine = rtx3080           ; as --machine takes it; a file is relative to this one.  None: that of --machine
 *     Bps = 1 Gbit/s              ; of each link, in each direction
 *     latency_s = 10 ms           ; until the first byte arrives; none: 0
 *     [peer slow]                 ; a kind, without keys one peer: its name has letters, digits, '.', '_' and '-'
 *     count = 40                  ; none: 1
 *     machine, memory_bytes, speed    ; memory of its GPU (0: it cannot take a part), the machine's if there is none;
 *                                 ; speed: a factor of all rates of its GPU (1)
 *     [link slow fast]            ; between peers of these kinds, in both directions; [link a a]: among those of one
 *     Bps, latency_s
 * A message of n bytes keeps the sender busy for n / Bps and is there latency_s later; the next one may be sent
 * meanwhile.
 */
#ifndef LSPO_PLAN_NETWORK_H
#define LSPO_PLAN_NETWORK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/machine.h"

enum { LSPO_PEER_KINDS_MAX = 256, LSPO_PEERS_MAX = 100000, LSPO_PEER_NAME_BYTES = 24 };

typedef struct {
    char name[LSPO_PEER_NAME_BYTES];
    uint32_t count;
    bool has_machine, has_memory;
    uint32_t machine;    /* index of network->machines, if it has one */
    double memory_bytes; /* if it has_memory */
    double speed;        /* above 0 */
} lspo_peer_kind_t;

typedef struct {
    double Bps, latency_s;
} lspo_peer_link_t;

typedef struct {
    lspo_peer_kind_t *kinds;
    uint32_t kind_count, peer_count;
    size_t kind_capacity, machine_capacity;
    lspo_machine_t *machines;
    uint32_t machine_count;
    lspo_peer_link_t *links; /* [kind][kind]; Bps 0 of a kind with itself that has one peer */
} lspo_network_t;

/* LSPO_ERR_INPUT with file:line for what is not as above, for a kind without links to another, for a link from a peer
 * to itself, and if no peer has memory. */
lspo_status_t lspo_network_read(const char *path, lspo_network_t *network_out);
/* Accepts a network that is all zero. */
void lspo_network_release(lspo_network_t *network);

/* The kind of this name (of `length` characters), or kind_count. */
uint32_t lspo_network_find(const lspo_network_t *network, const char *name, size_t length);

static inline const lspo_peer_link_t *lspo_network_link(const lspo_network_t *network, uint32_t from, uint32_t to)
{
    return &network->links[(size_t)from * network->kind_count + to];
}

/* The profile of a peer of this kind without its speed: its own machine or else `usual`, whose framework runs on all
 * peers; its memory; and as [net] its link to peers of kind `to`. */
void lspo_network_machine(const lspo_network_t *network, const lspo_machine_t *usual, uint32_t kind, uint32_t to,
                          lspo_machine_t *machine_out);

#endif
