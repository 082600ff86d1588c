/* network.c - read a file of peers; see network.h. */
#include "plan/network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/ini.h"
#include "base/names.h"

enum { WHERE_BYTES = 512 };

/* A [link A B], whose kinds may come later in the file. */
typedef struct {
    char names[2][LSPO_PEER_NAME_BYTES];
    char where[WHERE_BYTES]; /* of its head */
    lspo_peer_link_t link;
    bool has_Bps, has_latency;
} given_link_t;

typedef struct {
    const char *path;
    lspo_network_t network;
    given_link_t usual; /* of [peers] */
    bool has_machine;   /* [peers] has one, the first of network.machines */
    given_link_t *links;
    uint32_t link_count;
    size_t link_capacity;
} reader_t;

static bool is_head(const lspo_ini_entry_t *entry)
{
    return entry->key[0] == '\0';
}

/* ---- values ---- */

static lspo_status_t take_machine(reader_t *reader, const char *what, const char *value, uint32_t *index_out)
{
    lspo_network_t *n = &reader->network;
    lspo_status_t status = lspo_array_grow(&n->machines, &n->machine_capacity, (size_t)n->machine_count + 1,
                                           sizeof *n->machines, "machines of peers");
    if (status == LSPO_OK)
        status = lspo_machine_find_beside(what, value, reader->path, &n->machines[n->machine_count]);
    if (status == LSPO_OK)
        *index_out = n->machine_count++;
    return status;
}

/* A rate or a factor, which must be above 0. */
static lspo_status_t take_positive(const char *what, const char *value, lspo_unit_t unit, double *number_out)
{
    lspo_status_t status = lspo_parse_quantity_in(what, value, unit, "above 0", number_out);
    if (status == LSPO_OK && !(*number_out > 0))
        return lspo_error(LSPO_ERR_INPUT, "%s: '%s' is outside its range: above 0", what, value);
    return status;
}

/* As that of a machine, or none. */
static lspo_status_t take_memory(const char *what, const char *value, double *bytes_out)
{
    lspo_status_t status = lspo_parse_quantity(what, value, LSPO_UNIT_BYTES, bytes_out);
    if (status == LSPO_OK && *bytes_out != 0 && !(*bytes_out >= 1 && *bytes_out <= 0x1p62))
        return lspo_error(LSPO_ERR_INPUT, "%s: '%s' is outside its range: 0 GB, or from 1 B to 4 EiB", what, value);
    return status;
}

static lspo_status_t take_link_key(const lspo_ini_entry_t *entry, const char *what, given_link_t *link)
{
    if (strcmp(entry->key, "Bps") == 0) {
        link->has_Bps = true;
        return take_positive(what, entry->value, LSPO_UNIT_BPS, &link->link.Bps);
    }
    link->has_latency = true;
    lspo_status_t status = lspo_parse_quantity(what, entry->value, LSPO_UNIT_SECONDS, &link->link.latency_s);
    if (status == LSPO_OK && link->link.latency_s > 3600)
        return lspo_error(LSPO_ERR_INPUT, "%s: '%s' is outside its range: at most 1 h", what, entry->value);
    return status;
}

static bool is_link_key(const char *key)
{
    return strcmp(key, "Bps") == 0 || strcmp(key, "latency_s") == 0;
}

/* ---- sections ---- */

static lspo_status_t take_peers(reader_t *reader, const lspo_ini_entry_t *entry, const char *what)
{
    uint32_t first = 0;
    if (is_head(entry))
        return LSPO_OK;
    if (is_link_key(entry->key))
        return take_link_key(entry, what, &reader->usual);
    if (strcmp(entry->key, "machine") != 0)
        return lspo_error(LSPO_ERR_INPUT, "%s: unknown key; [peers] has machine, Bps, latency_s", what);
    if (reader->network.machine_count > 0)
        return lspo_error(LSPO_ERR_INPUT, "%s: must come before the machines of kinds", what);
    reader->has_machine = true;
    return take_machine(reader, what, entry->value, &first);
}

static lspo_status_t check_name(const lspo_ini_entry_t *entry, const char *name, size_t length)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    if (length > 0 && length < LSPO_PEER_NAME_BYTES && strspn(name, letters) >= length)
        return LSPO_OK;
    return lspo_error(LSPO_ERR_INPUT, "%s: [%s]: the name of a kind has 1 to %d letters, digits, '.', '_' and '-'",
                      entry->where, entry->section, LSPO_PEER_NAME_BYTES - 1);
}

/* The kind of a section, which may be new. */
static lspo_status_t kind_of(reader_t *reader, const lspo_ini_entry_t *entry, lspo_peer_kind_t **kind_out)
{
    lspo_network_t *n = &reader->network;
    const char *name = entry->section + strlen("peer ");
    lspo_status_t status = check_name(entry, name, strlen(name));
    if (status != LSPO_OK)
        return status;
    const uint32_t found = lspo_network_find(n, name, strlen(name));
    if (found == n->kind_count) {
        if (n->kind_count == LSPO_PEER_KINDS_MAX)
            return lspo_error(LSPO_ERR_INPUT, "%s: [%s]: more than %d kinds of peers", entry->where, entry->section,
                              LSPO_PEER_KINDS_MAX);
        status = lspo_array_grow(&n->kinds, &n->kind_capacity, (size_t)n->kind_count + 1, sizeof *n->kinds,
                                 "kinds of peers");
        if (status != LSPO_OK)
            return status;
        n->kinds[n->kind_count] = (lspo_peer_kind_t){.count = 1, .speed = 1};
        strcpy(n->kinds[n->kind_count++].name, name);
    }
    *kind_out = &n->kinds[found];
    return LSPO_OK;
}

static lspo_status_t take_peer(reader_t *reader, const lspo_ini_entry_t *entry, const char *what)
{
    lspo_peer_kind_t *kind = NULL;
    int64_t count = 0;
    lspo_status_t status = kind_of(reader, entry, &kind);
    if (status != LSPO_OK || is_head(entry))
        return status;
    if (strcmp(entry->key, "count") == 0) {
        status = lspo_parse_integer(what, entry->value, 1, LSPO_PEERS_MAX, &count);
        kind->count = status == LSPO_OK ? (uint32_t)count : kind->count;
        return status;
    }
    if (strcmp(entry->key, "machine") == 0) {
        kind->has_machine = true;
        return take_machine(reader, what, entry->value, &kind->machine);
    }
    if (strcmp(entry->key, "memory_bytes") == 0) {
        kind->has_memory = true;
        return take_memory(what, entry->value, &kind->memory_bytes);
    }
    if (strcmp(entry->key, "speed") == 0)
        return take_positive(what, entry->value, LSPO_UNIT_NONE, &kind->speed);
    return lspo_error(LSPO_ERR_INPUT, "%s: unknown key; [peer NAME] has count, machine, memory_bytes, speed", what);
}

static bool joins(const given_link_t *link, const char *a, const char *b)
{
    return strcmp(link->names[0], a) == 0 && strcmp(link->names[1], b) == 0;
}

/* The link of a section, which may be new. */
static lspo_status_t link_of(reader_t *reader, const lspo_ini_entry_t *entry, given_link_t **link_out)
{
    const char *a = entry->section + strlen("link "), *blank = strchr(a, ' ');
    if (blank == NULL)
        return lspo_error(LSPO_ERR_INPUT, "%s: [%s]: a link is between two kinds: [link A B]", entry->where,
                          entry->section);
    given_link_t link = {0};
    const char *b = blank + strspn(blank, " ");
    lspo_status_t status = check_name(entry, a, (size_t)(blank - a));
    if (status == LSPO_OK)
        status = check_name(entry, b, strlen(b));
    if (status != LSPO_OK)
        return status;
    memcpy(link.names[0], a, (size_t)(blank - a));
    strcpy(link.names[1], b);
    for (uint32_t i = 0; i < reader->link_count; i++) {
        *link_out = &reader->links[i];
        if (joins(*link_out, link.names[0], b))
            return LSPO_OK;
        if (joins(*link_out, b, link.names[0]))
            return lspo_error(LSPO_ERR_INPUT, "%s: [%s]: a link has both directions, and [link %s %s] is at %s",
                              entry->where, entry->section, b, link.names[0], (*link_out)->where);
    }
    snprintf(link.where, sizeof link.where, "%s", entry->where);
    status = lspo_array_grow(&reader->links, &reader->link_capacity, (size_t)reader->link_count + 1,
                             sizeof *reader->links, "links of peers");
    if (status != LSPO_OK)
        return status;
    reader->links[reader->link_count] = link;
    *link_out = &reader->links[reader->link_count++];
    return LSPO_OK;
}

static lspo_status_t take_key(void *context, const lspo_ini_entry_t *entry)
{
    reader_t *reader = context;
    char what[WHERE_BYTES];
    snprintf(what, sizeof what, "%s: [%s]%s%s", entry->where, entry->section, is_head(entry) ? "" : " ", entry->key);
    if (strcmp(entry->section, "peers") == 0)
        return take_peers(reader, entry, what);
    if (strncmp(entry->section, "peer ", 5) == 0)
        return take_peer(reader, entry, what);
    if (strncmp(entry->section, "link ", 5) != 0)
        return lspo_error(LSPO_ERR_INPUT, "%s: unknown section; a file of peers has [peers], [peer NAME], [link A B]",
                          what);
    if (!is_head(entry) && !is_link_key(entry->key))
        return lspo_error(LSPO_ERR_INPUT, "%s: unknown key; [link A B] has Bps, latency_s", what);
    given_link_t *link = NULL;
    lspo_status_t status = link_of(reader, entry, &link);
    return status == LSPO_OK && !is_head(entry) ? take_link_key(entry, what, link) : status;
}

/* ---- the whole ---- */

static lspo_status_t set_link(reader_t *reader, const given_link_t *given)
{
    lspo_network_t *n = &reader->network;
    uint32_t ends[2];
    for (int i = 0; i < 2; i++) {
        ends[i] = lspo_network_find(n, given->names[i], strlen(given->names[i]));
        if (ends[i] == n->kind_count)
            return lspo_error(LSPO_ERR_INPUT, "%s: [link %s %s]: there is no [peer %s]", given->where, given->names[0],
                              given->names[1], given->names[i]);
    }
    if (ends[0] == ends[1] && n->kinds[ends[0]].count == 1)
        return lspo_error(LSPO_ERR_INPUT, "%s: [link %s %s] is a loop: %s is one peer, and has no link to itself",
                          given->where, given->names[0], given->names[1], given->names[0]);
    for (int i = 0; i < 2; i++) {
        lspo_peer_link_t *link = &n->links[(size_t)ends[i] * n->kind_count + ends[1 - i]];
        link->Bps = given->has_Bps ? given->link.Bps : link->Bps;
        link->latency_s = given->has_latency ? given->link.latency_s : link->latency_s;
    }
    return LSPO_OK;
}

static lspo_status_t set_links(reader_t *reader)
{
    lspo_network_t *n = &reader->network;
    n->links = calloc((size_t)n->kind_count * n->kind_count, sizeof *n->links);
    if (n->links == NULL)
        return lspo_no_memory("the links of %u kinds of peers", n->kind_count);
    for (size_t i = 0; i < (size_t)n->kind_count * n->kind_count; i++)
        n->links[i] = reader->usual.link;
    for (uint32_t i = 0; i < reader->link_count; i++) {
        lspo_status_t status = set_link(reader, &reader->links[i]);
        if (status != LSPO_OK)
            return status;
    }
    for (uint32_t a = 0; a < n->kind_count; a++)
        for (uint32_t b = 0; b <= a; b++)
            if ((a != b || n->kinds[a].count > 1) && !(lspo_network_link(n, a, b)->Bps > 0))
                return lspo_error(LSPO_ERR_INPUT,
                                  "%s: no rate between %s and %s: set Bps in [link %s %s] or, for all, in [peers]",
                                  reader->path, n->kinds[b].name, n->kinds[a].name, n->kinds[b].name, n->kinds[a].name);
    return LSPO_OK;
}

static lspo_status_t check_peers(reader_t *reader)
{
    lspo_network_t *n = &reader->network;
    bool any_memory = false;
    if (n->kind_count == 0)
        return lspo_error(LSPO_ERR_INPUT, "%s has no [peer NAME]", reader->path);
    uint64_t peers = 0;
    for (uint32_t k = 0; k < n->kind_count; k++) {
        lspo_peer_kind_t *kind = &n->kinds[k];
        peers += kind->count;
        any_memory |= !kind->has_memory || kind->memory_bytes > 0;
        if (!kind->has_machine && reader->has_machine)
            kind->has_machine = true; /* the first: 0 */
    }
    if (peers > LSPO_PEERS_MAX)
        return lspo_error(LSPO_ERR_INPUT, "%s has %llu peers; at most %d are allowed", reader->path,
                          (unsigned long long)peers, LSPO_PEERS_MAX);
    if (!any_memory)
        return lspo_error(LSPO_ERR_INPUT, "%s: no peer has memory: memory_bytes is 0 in every [peer NAME]",
                          reader->path);
    n->peer_count = (uint32_t)peers;
    return LSPO_OK;
}

lspo_status_t lspo_network_read(const char *path, lspo_network_t *network_out)
{
    reader_t reader = {.path = path};
    lspo_status_t status = lspo_ini_read_sections(path, take_key, &reader);
    if (status == LSPO_OK)
        status = check_peers(&reader);
    if (status == LSPO_OK)
        status = set_links(&reader);
    free(reader.links);
    if (status != LSPO_OK) {
        lspo_network_release(&reader.network);
        return status;
    }
    *network_out = reader.network;
    return LSPO_OK;
}

void lspo_network_release(lspo_network_t *network)
{
    free(network->links);
    free(network->machines);
    free(network->kinds);
    *network = (lspo_network_t){0};
}

uint32_t lspo_network_find(const lspo_network_t *network, const char *name, size_t length)
{
    uint32_t k = 0;
    while (k < network->kind_count &&
           (strncmp(network->kinds[k].name, name, length) != 0 || network->kinds[k].name[length] != '\0'))
        k++;
    return k;
}

void lspo_network_machine(const lspo_network_t *network, const lspo_machine_t *usual, uint32_t kind, uint32_t to,
                          lspo_machine_t *machine_out)
{
    const lspo_peer_kind_t *k = &network->kinds[kind];
    const lspo_peer_link_t *link = lspo_network_link(network, kind, to);
    *machine_out = k->has_machine ? network->machines[k->machine] : *usual;
    machine_out->software = usual->software;
    memcpy(machine_out->framework, usual->framework, sizeof machine_out->framework);
    if (k->has_memory)
        machine_out->gpu.memory_bytes = k->memory_bytes;
    machine_out->net.Bps = link->Bps;
    machine_out->net.latency_s = link->latency_s;
}
