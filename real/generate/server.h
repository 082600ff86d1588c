/* server.h - requests served on the host with real passes (plan/serving.h): random weights and prompts, the most
 * likely tokens.  A group's prefix is the same tokens in all of its requests.
 *
 * Times are those that passes took; between requests nobody waits.  With vtensor, caches are ranges of addresses in
 * which a second thread maps chunks ahead (text_cache.h); paged blocks and reserved places are parts of one array.
 */
#ifndef LSPO_REAL_GENERATE_SERVER_H
#define LSPO_REAL_GENERATE_SERVER_H

#include <stdatomic.h>

#include "base/workers.h"
#include "plan/serving.h"
#include "real/device/device.h"

typedef struct {
    lspo_serving_options_t serving;
    uint64_t seed;
    lspo_device_t *device;   /* "host" */
    lspo_workers_t *workers; /* NULL: the calling thread */
    const atomic_int *stop;  /* NULL; ends all once it is not 0: LSPO_ERR_INTERRUPTED */
} lspo_server_options_t;

typedef struct lspo_server lspo_server_t;

/* What the caller owns must outlive the server.  LSPO_ERR_INPUT as lspo_generation_check(), LSPO_ERR_FIT if the device
 * has too little memory. */
lspo_status_t lspo_server_create(const lspo_server_options_t *options, const lspo_serving_request_t *requests,
                                 uint32_t count, lspo_server_t **server_out);
void lspo_server_destroy(lspo_server_t *server);

/* As lspo_serving_run(). */
lspo_status_t lspo_server_run(lspo_server_t *server, lspo_served_t *served_out, lspo_serving_report_t *report_out);

/* After it: the tokens of a request, its prompt's and the new ones; NULL if there are too few positions for them. */
const uint32_t *lspo_server_tokens(const lspo_server_t *server, uint32_t request);

#endif
