/* chain.c - see chain.h. */
#include "plan/chain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

lspo_status_t lspo_chain_add(lspo_chain_t *chain, uint32_t kind, uint32_t stages)
{
    lspo_status_t status = lspo_array_grow(&chain->peers, &chain->capacity, (size_t)chain->count + 1,
                                           sizeof *chain->peers, "peers of a chain");
    if (status == LSPO_OK)
        chain->peers[chain->count++] = (lspo_chain_peer_t){kind, stages};
    return status;
}

void lspo_chain_release(lspo_chain_t *chain)
{
    free(chain->peers);
    *chain = (lspo_chain_t){0};
}

/* ---- reading ---- */

/* Digits up to `end`, from 1 to 65535; 0: others. */
static uint32_t read_number(const char *text, const char *end)
{
    uint32_t number = 0;
    for (; text < end && *text >= '0' && *text <= '9' && number <= UINT16_MAX; text++)
        number = 10 * number + (uint32_t)(*text - '0');
    return text == end && number <= UINT16_MAX ? number : 0;
}

/* KIND[*N]:STAGES, up to `end`. */
static lspo_status_t read_item(const char *what, const char *item, const char *end, const lspo_network_t *network,
                               lspo_chain_t *chain)
{
    const size_t length = (size_t)(end - item), name = strcspn(item, "*:/");
    const char *colon = memchr(item, ':', length);
    uint32_t count = 1, stages = colon != NULL ? read_number(colon + 1, end) : 0;
    if (colon != NULL && item + name < colon)
        count = read_number(item + name + 1, colon);
    if (name == 0 || count == 0 || stages == 0)
        return lspo_error(LSPO_ERR_INPUT, "%s: '%.*s' is not KIND:STAGES or KIND*PEERS:STAGES, such as slow*4:3", what,
                          (int)length, item);
    const uint32_t kind = lspo_network_find(network, item, name);
    if (kind == network->kind_count)
        return lspo_error(LSPO_ERR_INPUT, "%s: '%.*s': there is no [peer %.*s] in the file of peers", what, (int)length,
                          item, (int)name, item);
    for (uint32_t i = 0; i < count; i++) {
        lspo_status_t status = lspo_chain_add(chain, kind, stages);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

static bool has_memory(const lspo_peer_kind_t *kind)
{
    return !kind->has_memory || kind->memory_bytes > 0;
}

static lspo_status_t check(const char *what, const lspo_chain_t *chain, const lspo_network_t *network,
                           uint32_t stage_count)
{
    uint32_t used[LSPO_PEER_KINDS_MAX] = {0}, stages = 0;
    for (uint32_t i = 0; i < chain->count; i++) {
        const uint32_t kind = chain->peers[i].kind;
        if (++used[kind] > network->kinds[kind].count)
            return lspo_error(LSPO_ERR_INPUT, "%s: it has more than the %u peer%s of kind %s", what,
                              network->kinds[kind].count, network->kinds[kind].count == 1 ? "" : "s",
                              network->kinds[kind].name);
        if (!has_memory(&network->kinds[kind]))
            return lspo_error(LSPO_ERR_INPUT, "%s: peers of kind %s have no memory", what, network->kinds[kind].name);
        stages += chain->peers[i].stages;
    }
    if (stages == stage_count)
        return LSPO_OK;
    return lspo_error(LSPO_ERR_INPUT, "%s: it has %u stages; the model has %u: embedding, blocks and head", what,
                      stages, stage_count);
}

lspo_status_t lspo_chain_parse(const char *what, const char *text, const lspo_network_t *network, uint32_t stage_count,
                               lspo_chain_t *chain_out)
{
    lspo_chain_t chain = {0};
    lspo_status_t status = LSPO_OK;
    for (const char *item = text; status == LSPO_OK; item++) {
        const char *end = item + strcspn(item, "/");
        status = read_item(what, item, end, network, &chain);
        item = end;
        if (*end == '\0')
            break;
        if (status == LSPO_OK && chain.count > stage_count)
            break;
    }
    if (status == LSPO_OK)
        status = check(what, &chain, network, stage_count);
    if (status == LSPO_OK)
        *chain_out = chain;
    else
        lspo_chain_release(&chain);
    return status;
}

uint32_t lspo_chain_peer_count(const char *text)
{
    uint32_t count = 0;
    for (const char *item = text; item != NULL; item = strchr(item + 1, '/')) {
        const char *star = item + strcspn(item + 1, "*:/") + 1, *colon = strchr(item, ':');
        count += *star == '*' && colon != NULL ? read_number(star + 1, colon) : 1;
    }
    return count;
}

/* ---- an even one ---- */

lspo_status_t lspo_chain_even(const lspo_network_t *network, uint32_t stage_count, lspo_chain_t *chain_out)
{
    const uint32_t blocks = stage_count - 2;
    uint32_t peers = 0;
    lspo_chain_t chain = {0};
    lspo_status_t status = LSPO_OK;
    for (uint32_t k = 0; k < network->kind_count; k++)
        peers += has_memory(&network->kinds[k]) ? network->kinds[k].count : 0;
    peers = peers < blocks ? peers : blocks;
    for (uint32_t k = 0; k < network->kind_count; k++) {
        const uint32_t count = has_memory(&network->kinds[k]) ? network->kinds[k].count : 0;
        for (uint32_t i = 0; status == LSPO_OK && i < count && chain.count < peers; i++)
            status = lspo_chain_add(&chain, k, blocks / peers + (chain.count < blocks % peers));
    }
    if (status != LSPO_OK) {
        lspo_chain_release(&chain);
        return status;
    }
    chain.peers[0].stages++;
    chain.peers[peers - 1].stages++;
    *chain_out = chain;
    return LSPO_OK;
}

/* ---- writing ---- */

lspo_status_t lspo_chain_write(const lspo_chain_t *chain, const lspo_network_t *network, char **text_out)
{
    enum { ITEM_BYTES = LSPO_PEER_NAME_BYTES + 24 };
    char *text = malloc((size_t)chain->count * ITEM_BYTES + 1);
    size_t used = 0;
    if (text == NULL)
        return lspo_no_memory("a chain of %u peers", chain->count);
    text[0] = '\0';
    for (uint32_t i = 0, same; i < chain->count; i += same) {
        const lspo_chain_peer_t *peer = &chain->peers[i];
        for (same = 1; i + same < chain->count; same++)
            if (peer[same].kind != peer->kind || peer[same].stages != peer->stages)
                break;
        const char *name = network->kinds[peer->kind].name, *slash = i > 0 ? "/" : "";
        used += (size_t)(same > 1 ? snprintf(text + used, ITEM_BYTES, "%s%s*%u:%u", slash, name, same, peer->stages)
                                  : snprintf(text + used, ITEM_BYTES, "%s%s:%u", slash, name, peer->stages));
    }
    *text_out = text;
    return LSPO_OK;
}
