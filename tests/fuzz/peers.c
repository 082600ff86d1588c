/* A file of peers; and a chain of the first two of its kinds. */
#include <stdio.h>

#include "plan/chain.h"
#include "plan/network.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lspo_network_t network;
    lspo_chain_t chain;
    if (lspo_network_read(fuzz_file("peers.ini", data, size), &network) != LSPO_OK)
        return 0;
    char text[2 * LSPO_PEER_NAME_BYTES + 32];
    const lspo_peer_kind_t *first = &network.kinds[0], *second = &network.kinds[network.kind_count > 1];
    snprintf(text, sizeof text, "%s*%u:1/%s:2", first->name, first->count, second->name);
    if (lspo_chain_parse("--chain", text, &network, first->count + 2, &chain) == LSPO_OK)
        lspo_chain_release(&chain);
    lspo_network_release(&network);
    return 0;
}
