/* key.c - see key.h. */
#include "sweep/key.h"

#include <string.h>

/* The hash is small and its state is on the stack. */
#define XXH_INLINE_ALL
#include <xxhash.h>

typedef struct {
    XXH3_state_t state;
} hash_t;

static void begin(hash_t *hash)
{
    XXH3_INITSTATE(&hash->state);
    XXH3_64bits_reset(&hash->state);
}

static void add(hash_t *hash, const void *bytes, size_t count)
{
    XXH3_64bits_update(&hash->state, bytes, count);
}

static void add_text(hash_t *hash, const char *text)
{
    add(hash, text, strlen(text) + 1);
}

static void add_number(hash_t *hash, double number)
{
    add(hash, &number, sizeof number);
}

static void add_record(hash_t *hash, const lspo_record_field_t *fields, size_t count, const void *record)
{
    for (size_t i = 0; i < count; i++)
        add(hash, (const char *)record + fields[i].offset_bytes, lspo_record_bytes(fields[i].kind));
}

static void add_model(hash_t *hash, const lspo_model_t *model)
{
    add_text(hash, model->name);
    add_record(hash, lspo_model_fields, lspo_model_field_count, model);
}

static void add_machine(hash_t *hash, const lspo_machine_t *machine)
{
    const lspo_products_t *products = &machine->products;
    add_text(hash, machine->name);
    add_text(hash, machine->framework);
    add_text(hash, machine->evidence);
    for (size_t i = 0; i < lspo_machine_field_count; i++)
        add_number(hash, lspo_machine_value(machine, &lspo_machine_fields[i]));
    add_number(hash, machine->cpu.own_adam_pps);
    add_number(hash, products->size_count);
    if (products->size_count == 0)
        return;
    add(hash, products->sizes, products->size_count * sizeof products->sizes[0]);
    add(hash, products->share, sizeof products->share);
}

static void add_policy(hash_t *hash, const lspo_policy_t *policy, const lspo_workload_t *workload)
{
    add_text(hash, policy->name);
    for (size_t i = 0; policy->parameters != NULL && i < policy->parameters->count; i++) {
        const lspo_parameter_t *parameter = policy->parameters->uses[i].parameter;
        add_text(hash, parameter->key);
        const double number = lspo_parameter_number(parameter, lspo_policy_value(policy, workload, parameter));
        if (parameter->kind == LSPO_RECORD_TEXT)
            add_text(hash, lspo_parameter_word(parameter, (uint32_t)number));
        else
            add_number(hash, number);
    }
}

uint64_t lspo_sweep_key(const lspo_sweep_identity_t *identity)
{
    hash_t hash;
    begin(&hash);
    add_model(&hash, identity->model);
    add_record(&hash, lspo_workload_fields, lspo_workload_field_count, identity->workload);
    add_policy(&hash, identity->policy, identity->workload);
    add_machine(&hash, identity->machine);
    add_text(&hash, identity->version);
    return XXH3_64bits_digest(&hash.state);
}

uint64_t lspo_sweep_machine_hash(const lspo_machine_t *machine)
{
    hash_t hash;
    begin(&hash);
    add_machine(&hash, machine);
    return XXH3_64bits_digest(&hash.state);
}

uint64_t lspo_sweep_model_hash(const lspo_model_t *model)
{
    hash_t hash;
    begin(&hash);
    add_model(&hash, model);
    return XXH3_64bits_digest(&hash.state);
}
