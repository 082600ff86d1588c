/* context.c - contexts, and what a call changes in its thread; see lspo.h and handles.h. */
#include <stdlib.h>
#include <string.h>

#include "ask/version.h"
#include "lib/handles.h"
#include "plan/machine.h"
#include "plan/model.h"
#include "plan/policies.h"

int lspo_api_version(void)
{
    return LSPO_API_VERSION;
}

const char *lspo_release(void)
{
    return lspo_version;
}

/* lspo_messages_t.warn */
static void hand_on(void *user, const char *text)
{
    const lspo_context *context = user;
    if (context->options.warn != NULL)
        context->options.warn(context->options.user, text);
}

lspo_call_t lspo_call_begin(lspo_context *context)
{
    lspo_call_t call = {.context = context, .locale = uselocale(context->locale)};
    context->message[0] = '\0';
    call.messages = lspo_messages_send((lspo_messages_t){
        .text = context->message, .capacity = sizeof context->message, .warn = hand_on, .context = context});
    return call;
}

int lspo_call_end(const lspo_call_t *call, lspo_status_t status)
{
    (void)lspo_messages_send(call->messages);
    uselocale(call->locale);
    switch (status) {
    case LSPO_OK:
        call->context->message[0] = '\0';
        return LSPO_DONE;
    case LSPO_ERR_MEMORY:
        return LSPO_NO_ROOM;
    case LSPO_ERR_INTERNAL:
        return LSPO_FAULT;
    default:
        return LSPO_REFUSED;
    }
}

int lspo_context_open(const lspo_options *options, lspo_context **context_out)
{
    *context_out = NULL;
    if (options != NULL && options->size != sizeof *options) /* the only size so far */
        return LSPO_REFUSED;
    lspo_context *context = calloc(1, sizeof *context);
    if (context == NULL)
        return LSPO_NO_ROOM;
    if (options != NULL)
        context->options = *options;
    context->locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (context->locale == (locale_t)0) {
        free(context);
        return LSPO_NO_ROOM;
    }
    *context_out = context;
    return LSPO_DONE;
}

void lspo_context_close(lspo_context *context)
{
    if (context == NULL)
        return;
    freelocale(context->locale);
    free(context);
}

const char *lspo_context_message(const lspo_context *context)
{
    return context->message;
}

static const char *policy_name(uint32_t index)
{
    return lspo_any_policy_at(index)->name;
}

static uint32_t machine_count(void)
{
    return lspo_machine_preset_count(LSPO_PART_MACHINE);
}

static const char *machine_name(uint32_t index)
{
    return lspo_machine_preset_name(LSPO_PART_MACHINE, index);
}

static uint32_t framework_count(void)
{
    return lspo_machine_preset_count(LSPO_PART_FRAMEWORK);
}

static const char *framework_name(uint32_t index)
{
    return lspo_machine_preset_name(LSPO_PART_FRAMEWORK, index);
}

const char *lspo_known_name(const char *what, size_t index)
{
    static const struct {
        const char *what;
        uint32_t (*count)(void);
        const char *(*name)(uint32_t index);
    } lists[] = {{"models", lspo_model_preset_count, lspo_model_preset_name},
                 {"machines", machine_count, machine_name},
                 {"policies", lspo_any_policy_count, policy_name},
                 {"frameworks", framework_count, framework_name}};
    for (size_t i = 0; what != NULL && i < sizeof lists / sizeof lists[0]; i++)
        if (strcmp(lists[i].what, what) == 0)
            return index < lists[i].count() ? lists[i].name((uint32_t)index) : NULL;
    return NULL;
}
