/* Blocks of tokens under random load, against a naive count: who has which unit, what was stored, and all return. */
#include <criterion/criterion.h>
#include <string.h>

#include "kernels/random.h"
#include "real/generate/block_pool.h"

enum { SLOTS = 6, UNITS = 20, TOKENS = 4, BYTES = 8, POSITIONS = 24, STEPS = 4000 };

typedef struct {
    size_t tokens;
    char stored[POSITIONS * BYTES];
} model_t;

static char *token(lspo_block_pool_t *pool, uint32_t slot, size_t i)
{
    return (char *)lspo_block_pool_memory(pool) +
           (lspo_block_pool_units(pool, slot)[i / TOKENS] * TOKENS + i % TOKENS) * BYTES;
}

static size_t units_in_use(lspo_block_pool_t *pool, const model_t *models)
{
    bool used[UNITS] = {false};
    size_t count = 0;
    for (uint32_t s = 0; s < SLOTS; s++)
        for (size_t u = 0; u < (models[s].tokens + TOKENS - 1) / TOKENS; u++)
            used[lspo_block_pool_units(pool, s)[u]] = true;
    for (int u = 0; u < UNITS; u++)
        count += used[u];
    return count;
}

Test(block_pool, keeps_its_account_under_random_load)
{
    static model_t models[SLOTS];
    lspo_block_pool_t *pool = NULL;
    lspo_device_t *device = NULL;
    uint64_t n = 0;
    char message[128];
    cr_assert_eq(lspo_device_open("host", &(lspo_device_caps_t){0}, &device), LSPO_OK);
    cr_assert_eq(lspo_block_pool_create(&(lspo_block_pool_options_t){.device = device,
                                                                     .units = UNITS,
                                                                     .unit_tokens = TOKENS,
                                                                     .token_bytes = BYTES,
                                                                     .slots = SLOTS,
                                                                     .positions = POSITIONS},
                                        &pool),
                 LSPO_OK);
    lspo_messages_keep(message, sizeof message);
    for (int step = 0; step < STEPS; step++) {
        const uint32_t slot = lspo_random_below(1, 0, n++, SLOTS), what = lspo_random_below(1, 0, n++, 4);
        const uint32_t from = lspo_random_below(1, 0, n++, SLOTS);
        model_t *m = &models[slot];
        const size_t before = m->tokens, more = lspo_random_below(1, 0, n++, (uint32_t)(POSITIONS - before) + 1);
        const bool fits =
            (before + more + TOKENS - 1) / TOKENS - (before + TOKENS - 1) / TOKENS <= lspo_block_pool_free(pool);
        if (what == 0) {
            lspo_block_pool_release(pool, slot);
            m->tokens = 0;
        } else if (what == 1 && m->tokens == 0 && models[from].tokens > 0 && lspo_block_pool_free(pool) > 0) {
            m->tokens = 1 + lspo_random_below(1, 0, n++, (uint32_t)models[from].tokens);
            cr_assert_eq(lspo_block_pool_share(pool, slot, from, m->tokens), LSPO_OK);
            memcpy(m->stored, models[from].stored, m->tokens * BYTES);
        } else if (what > 1) {
            cr_assert_eq(lspo_block_pool_grow(pool, slot, before + more), fits ? LSPO_OK : LSPO_ERR_FIT);
            m->tokens += fits ? more : 0;
            for (size_t i = before; i < m->tokens; i++) {
                memset(&m->stored[i * BYTES], (int)lspo_random_below(1, 0, n++, 256), BYTES);
                memcpy(token(pool, slot, i), &m->stored[i * BYTES], BYTES);
            }
        }
        cr_assert_eq(lspo_block_pool_free(pool), UNITS - units_in_use(pool, models));
        for (uint32_t s = 0; s < SLOTS; s++)
            for (size_t i = 0; i < models[s].tokens; i++)
                cr_assert(memcmp(token(pool, s, i), &models[s].stored[i * BYTES], BYTES) == 0);
    }
    lspo_messages_keep(NULL, 0);
    for (uint32_t s = 0; s < SLOTS; s++)
        lspo_block_pool_release(pool, s);
    cr_expect_eq(lspo_block_pool_free(pool), UNITS);
    lspo_block_pool_destroy(pool);
    lspo_device_close(device);
}

/* Units have 32-bit numbers: a cache of a tiny model may have too many, which is said. */
Test(block_pool, refuses_more_units_than_there_are_numbers)
{
    lspo_block_pool_t *pool = NULL;
    lspo_device_t *device = NULL;
    char message[256];
    cr_assert_eq(lspo_device_open("host", &(lspo_device_caps_t){0}, &device), LSPO_OK);
    lspo_messages_keep(message, sizeof message);
    cr_expect_eq(lspo_block_pool_create(&(lspo_block_pool_options_t){.device = device,
                                                                     .units = (uint64_t)UINT32_MAX + 1,
                                                                     .unit_tokens = 1,
                                                                     .token_bytes = BYTES,
                                                                     .slots = SLOTS,
                                                                     .positions = POSITIONS},
                                        &pool),
                 LSPO_ERR_INPUT);
    cr_expect(strstr(message, "4294967296 blocks") != NULL && strstr(message, "--cache-memory") != NULL, "%s", message);
    lspo_messages_send((lspo_messages_t){0});
    lspo_device_close(device);
}
