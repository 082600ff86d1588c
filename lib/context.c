/* context.c - contexts, and what a call changes in its thread; see lspo.h and handles.h. */
#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask/version.h"
#include "base/json_file.h"
#include "lib/allocator.h"
#include "lib/handles.h"
#include "lib/settings.h"
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

/* Of a quoted text, with its quotes; 0: none begins here, as in "the policy's". */
static size_t quoted_length(const char *text, const char *from)
{
    const char quote = *from, *end = from;
    if ((quote != '\'' && quote != '"') || (from > text && isalnum((unsigned char)from[-1])))
        return 0;
    do
        end = strchr(end + 1, quote);
    while (end != NULL && isalnum((unsigned char)end[1]));
    return end != NULL ? (size_t)(end + 1 - from) : 0;
}

/* Is there an option that is a key here?  Part of a path is none. */
static bool names_key(const char *text, const char *from)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    lspo_arg_t arg;
    if (strncmp(from, "--", 2) != 0 || (from > text && strchr(" (", from[-1]) == NULL))
        return false;
    const size_t length = strspn(from + 2, letters);
    const char *end = from + 2 + length;
    const bool in_path =
        *end == '/' || *end == '_' || isalnum((unsigned char)*end) || (*end == '.' && isalnum((unsigned char)end[1]));
    return !in_path && lspo_args_find(lspo_library_options, from + 2, length, &arg);
}

void lspo_speak_of_keys(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0';) {
        const size_t quoted = quoted_length(text, from);
        if (quoted == 0 && names_key(text, from))
            from += 2;
        const size_t length = quoted > 0 ? quoted : 1;
        memmove(to, from, length);
        to += length;
        from += length;
    }
    *to = '\0';
}

/* lspo_messages_t.warn */
static void hand_on(void *user, const char *text)
{
    const lspo_context *context = user;
    char warning[LSPO_MESSAGE_BYTES];
    if (context->options.warn == NULL)
        return;
    snprintf(warning, sizeof warning, "%s", text);
    lspo_speak_of_keys(warning);
    context->options.warn(context->options.user, warning);
}

lspo_call_t lspo_call_begin(lspo_context *context)
{
    lspo_call_t call = {.context = context,
                        .locale = uselocale(context->locale),
                        .allocator = lspo_allocator_use(&context->options),
                        .texts = lspo_texts_use(&context->texts),
                        .shares_json = lspo_json_share(true)};
    context->message[0] = '\0';
    call.messages = lspo_messages_send((lspo_messages_t){
        .text = context->message, .capacity = sizeof context->message, .warn = hand_on, .context = context});
    return call;
}

int lspo_call_end(const lspo_call_t *call, lspo_status_t status)
{
    (void)lspo_messages_send(call->messages);
    uselocale(call->locale);
    (void)lspo_allocator_use(call->allocator);
    (void)lspo_texts_use(call->texts);
    (void)lspo_json_share(call->shares_json);
    lspo_speak_of_keys(call->context->message);
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

/* Of this library, or of version 1, which ended before the functions of memory. */
static bool read_options(const lspo_options *options, lspo_options *options_out)
{
    *options_out = (lspo_options)LSPO_OPTIONS_INIT;
    if (options == NULL)
        return true;
    if (options->size != sizeof *options && options->size != offsetof(lspo_options, allocate))
        return false;
    memcpy(options_out, options, options->size);
    bool any = options_out->allocate != NULL || options_out->reallocate != NULL || options_out->release != NULL;
    bool all = options_out->allocate != NULL && options_out->reallocate != NULL && options_out->release != NULL;
    return !any || all;
}

int lspo_context_open(const lspo_options *options, lspo_context **context_out)
{
    lspo_options read;
    *context_out = NULL;
    if (!read_options(options, &read))
        return LSPO_REFUSED;
    const lspo_options *before = lspo_allocator_use(&read);
    lspo_context *context = calloc(1, sizeof *context);
    locale_t locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (context != NULL && locale != (locale_t)0) {
        context->options = read;
        if (read.allocate == NULL)
            lspo_spare_use(&context->spare, &context->options);
        context->locale = locale;
        *context_out = context;
    } else {
        free(context);
        if (locale != (locale_t)0)
            freelocale(locale);
    }
    (void)lspo_allocator_use(before);
    return *context_out != NULL ? LSPO_DONE : LSPO_NO_ROOM;
}

void lspo_context_close(lspo_context *context)
{
    if (context == NULL)
        return;
    const lspo_options options = context->options, *before = lspo_allocator_use(&options);
    lspo_texts_release(&context->texts);
    freelocale(context->locale);
    lspo_spare_release(&context->spare);
    _Static_assert(sizeof *context < LSPO_SPARE_LEAST_BYTES, "freed in a moment, it would wait in itself");
    free(context);
    (void)lspo_allocator_use(before);
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
