/* policy_help.c - the text of `lspo help POLICY` and of its man page, from the policy's tables; see help.h. */
#include <ctype.h>
#include <string.h>

#include "ask/policy_flags.h"
#include "base/wrap.h"
#include "cli/help.h"

enum { FACT_COLUMN = 14, OPTION_COLUMN = 28, TEXT_BYTES = 512 };

static void describe_semantics(const lspo_policy_t *policy, char *text, size_t capacity)
{
    int used = snprintf(text, capacity, "%s: %s", lspo_semantics_name(policy->semantics),
                        lspo_semantics_help(policy->semantics));
    if (policy->staleness_steps > 0 && used > 0 && (size_t)used < capacity)
        snprintf(text + used, capacity - (size_t)used, " (%u by default)", policy->staleness_steps);
}

static void describe_option(const lspo_parameter_t *parameter, char *text, size_t capacity)
{
    char help[TEXT_BYTES], range[96];
    bool is_word = lspo_parameter_is_word(parameter) || parameter->kind == LSPO_RECORD_BOOL;
    lspo_policy_flag_help(parameter, help, sizeof help);
    lspo_parameter_range_text(parameter, range, sizeof range);
    snprintf(text, capacity, "%s. %s%s%sChanges the %s.", help, is_word ? "" : "Range: ", is_word ? "" : range,
             is_word ? "" : ". ", lspo_affects_name(parameter->affects));
}

static const char *trains(const lspo_policy_t *policy)
{
    return policy->train_rest_default
               ? "all weights; --train-rest off excludes embeddings, norms, biases and head"
               : "the linear weights of the blocks; --train-rest on adds embeddings, norms, biases and head";
}

/* Calls `write` for each line of facts. */
static void each_fact(const lspo_policy_t *policy, void (*write)(void *to, const char *name, const char *text),
                      void *to)
{
    char semantics[TEXT_BYTES];
    describe_semantics(policy, semantics, sizeof semantics);
    if (policy->task == LSPO_TASK_GENERATE)
        snprintf(semantics, sizeof semantics, "%s: the same texts as %s, token by token",
                 lspo_semantics_name(policy->semantics), lspo_generation_policy_at(0)->name);
    write(to, "task", lspo_task_names[policy->task]);
    write(to, "semantics", semantics);
    if (policy->task == LSPO_TASK_TRAIN) {
        write(to, "trains", trains(policy));
        write(to, "--clip", policy->clip_help);
    }
    if (policy->citation != NULL)
        write(to, "citation", policy->citation);
    if (policy->elsewhere != LSPO_ELSEWHERE_NOBODY)
        write(to, "elsewhere", lspo_elsewhere_name(policy->elsewhere));
}

static void each_option(const lspo_policy_t *policy, void (*write)(void *to, const char *name, const char *text),
                        void *to)
{
    for (size_t i = 0; policy->parameters != NULL && i < policy->parameters->count; i++) {
        char option[80], text[TEXT_BYTES + 128];
        lspo_arg_t arg;
        lspo_policy_arg(policy->parameters->uses[i].parameter, &arg);
        lspo_help_option(&arg, option, sizeof option);
        describe_option(policy->parameters->uses[i].parameter, text, sizeof text);
        write(to, option, text);
    }
}

typedef struct {
    FILE *file;
    size_t indent;
} screen_t;

static void write_item(void *to, const char *name, const char *text)
{
    const screen_t *screen = to;
    char left[96];
    snprintf(left, sizeof left, "  %s", name);
    lspo_wrap_item(screen->file, left, text, screen->indent, lspo_help_width(screen->file));
}

void lspo_help_write_policy(const lspo_policy_t *policy, FILE *file)
{
    char help[TEXT_BYTES];
    snprintf(help, sizeof help, "%s.", policy->help);
    help[0] = (char)toupper((unsigned char)help[0]);
    fprintf(file, "usage: lspo COMMAND --policy %s [options]\n\n", policy->name);
    lspo_wrap_text(file, help, lspo_help_width(file));
    fprintf(file, "\nexamples:\n  %s\n\n", policy->example);
    each_fact(policy, write_item, &(screen_t){file, FACT_COLUMN});
    if (policy->parameters == NULL) {
        fputs("\nThis policy has no options of its own.\n", file);
        return;
    }
    fputs("\nits own options (defaults in brackets):\n", file);
    each_option(policy, write_item, &(screen_t){file, OPTION_COLUMN});
}

static void write_man_item(void *to, const char *name, const char *text)
{
    lspo_help_man_item(to, name, text);
}

void lspo_help_write_policy_man(const lspo_policy_t *policy, FILE *file)
{
    lspo_help_man_head(policy->name, policy->help, file);
    fprintf(file, ".SH SYNOPSIS\n.B lspo\n.I COMMAND\n\\-\\-policy ");
    lspo_help_man_line(file, policy->name);
    fputs(".SH DESCRIPTION\n", file);
    each_fact(policy, write_man_item, file);
    if (policy->parameters != NULL) {
        fputs(".SH OPTIONS\n", file);
        each_option(policy, write_man_item, file);
    }
    fputs(".SH EXAMPLES\n.nf\n", file);
    lspo_help_man_line(file, policy->example);
    fputs(".fi\n.SH SEE ALSO\n.BR lspo (1)\n", file);
}
