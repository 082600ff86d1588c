/* policy.c - a policy of tests/test_own_policy.sh: native with parameters of its own, one of each kind.  The linker
 * puts it behind the policies of the program (--wrap, tests/local.am); nothing else names it or its parameters. */
#include "plan/policy.h"

typedef struct {
    double share;
    uint32_t every;
    int32_t layer;
    unsigned style;
} echo_values_t;

static const char *const styles[] = {"soft", "loud", NULL};

static double every_of_command(const lspo_parameter_context_t *context)
{
    return context->training ? 7 : 3;
}

static double blocks_of_model(const lspo_parameter_context_t *context)
{
    return context->model->block_count;
}

static const lspo_parameter_t echo_every = {
    .key = "echo-every",
    .value = "N",
    .unit = "steps",
    .help = "steps between two echoes",
    .kind = LSPO_RECORD_U32,
    .preset_of = every_of_command,
    .preset_is = "3; train: 7",
    .low = 1,
    .high = 100,
    .affects = LSPO_AFFECTS_BOTH,
};

static const lspo_parameter_t echo_share = {
    .key = "echo-share",
    .value = "FRACTION",
    .help = "how much comes back",
    .kind = LSPO_RECORD_REAL,
    .preset = 0.5,
    .high = 1,
    .affects = LSPO_AFFECTS_PLAN,
};

static const lspo_parameter_t echo_layer = {
    .key = "echo-layer",
    .value = "auto|LAYER",
    .help = "from which layer it comes back",
    .kind = LSPO_RECORD_I32,
    .preset = -1,
    .high = 1000,
    .high_of = blocks_of_model,
    .high_is = "the model's blocks",
    .affects = LSPO_AFFECTS_BOTH,
};

static const lspo_parameter_t echo_style = {
    .key = "echo-style",
    .value = "soft|loud",
    .help = "how it sounds",
    .kind = LSPO_RECORD_NAMED,
    .names = styles,
    .affects = LSPO_AFFECTS_NUMBERS,
};

static const lspo_parameter_use_t uses[] = {
    {&echo_every, offsetof(echo_values_t, every), true, NULL},
    {&echo_share, offsetof(echo_values_t, share), false, NULL},
    {&echo_layer, offsetof(echo_values_t, layer), false, NULL},
    {&echo_style, offsetof(echo_values_t, style), false, NULL},
};
static const lspo_parameters_t parameters = LSPO_PARAMETERS(uses, echo_values_t);

static const lspo_policy_t echo = {
    .name = "echo",
    .help = "native, and an echo every --echo-every steps",
    .citation = "tests/own_policy/policy.c",
    .example = "lspo sim --policy echo --model gpt-tiny --echo-every 5",
    .parameters = &parameters,
    .periods = {{&echo_every, 1, "echoes"}},
    .semantics = LSPO_SEMANTICS_EXACT,
    .clip_help = "as native",
    .train_rest_default = true,
    .method = "adam",
    .return_form = LSPO_RETURN_NOTHING,
    .build = lspo_build_on_gpu,
};

uint32_t __real_lspo_policy_count(void);
uint32_t __wrap_lspo_policy_count(void);
const lspo_policy_t *__real_lspo_policy_at(uint32_t index);
const lspo_policy_t *__wrap_lspo_policy_at(uint32_t index);

uint32_t __wrap_lspo_policy_count(void)
{
    return __real_lspo_policy_count() + 1;
}

const lspo_policy_t *__wrap_lspo_policy_at(uint32_t index)
{
    return index < __real_lspo_policy_count() ? __real_lspo_policy_at(index) : &echo;
}
