/* complete.c - the words that a shell offers to complete a command (cli/completion/); see help.h. */
#include <stdlib.h>
#include <string.h>

#include "ask/policy_flags.h"
#include "cli/help.h"
#include "plan/machine.h"
#include "plan/model.h"
#include "plan/policy.h"

enum { WORDS_MAX = 256 };

/* The candidates that continue `typed`. */
typedef struct {
    FILE *file;
    const char *typed;
    bool trainings; /* policies of other tasks are no candidates */
} offers_t;

static void offer(const offers_t *offers, const char *prefix, const char *word, size_t length, const char *what)
{
    size_t typed = strlen(offers->typed), prefix_length = strlen(prefix);
    char candidate[128];
    if (prefix_length + length >= sizeof candidate)
        return;
    snprintf(candidate, sizeof candidate, "%s%.*s", prefix, (int)length, word);
    if (strncmp(candidate, offers->typed, typed) == 0)
        fprintf(offers->file, "%s\t%s\n", candidate, what);
}

static void offer_word(const offers_t *offers, const char *word, const char *what)
{
    offer(offers, "", word, strlen(word), what);
}

static void offer_commands(const offers_t *offers, const lspo_command_t *const *commands)
{
    for (; *commands != NULL; commands++) {
        const char *blank = strrchr((*commands)->name, ' ');
        offer_word(offers, blank != NULL ? blank + 1 : (*commands)->name, (*commands)->summary);
    }
}

static void offer_models(const offers_t *offers)
{
    for (uint32_t i = 0; i < lspo_model_preset_count(); i++) {
        lspo_model_t model;
        if (lspo_model_preset(i, &model) == LSPO_OK)
            offer_word(offers, model.name, model.source);
    }
}

static void offer_machines(const offers_t *offers, lspo_machine_part_t part)
{
    for (uint32_t i = 0; i < lspo_machine_preset_count(part); i++) {
        lspo_machine_t machine;
        if (lspo_machine_preset(part, i, &machine) == LSPO_OK)
            offer_word(offers, machine.name, machine.description);
    }
}

/* CARD+HOST: the hosts that can be joined to the card before the '+'. */
static void offer_hosts(const offers_t *offers)
{
    char card[LSPO_NAME_BYTES];
    const char *plus = strchr(offers->typed, '+');
    if (plus == NULL || (size_t)(plus + 1 - offers->typed) >= sizeof card)
        return;
    snprintf(card, sizeof card, "%.*s", (int)(plus + 1 - offers->typed), offers->typed);
    for (uint32_t i = 0; i < lspo_machine_preset_count(LSPO_PART_HOST); i++) {
        lspo_machine_t host;
        if (lspo_machine_preset(LSPO_PART_HOST, i, &host) == LSPO_OK && host.link.pcie_lanes > 0)
            offer(offers, card, host.name, strlen(host.name), host.description);
    }
}

static void offer_list(const offers_t *offers, const char *list)
{
    if (strcmp(list, "machines") == 0)
        offer_hosts(offers);
    if (strcmp(list, "models") == 0)
        offer_models(offers);
    if (strcmp(list, "machines") == 0)
        offer_machines(offers, LSPO_PART_MACHINE);
    if (strcmp(list, "frameworks") == 0)
        offer_machines(offers, LSPO_PART_FRAMEWORK);
    if (strcmp(list, "policies") == 0)
        for (uint32_t i = 0; i < lspo_any_policy_count(); i++)
            if (!offers->trainings || lspo_any_policy_at(i)->task == LSPO_TASK_TRAIN)
                offer_word(offers, lspo_any_policy_at(i)->name, lspo_any_policy_at(i)->help);
    if (strcmp(list, "devices") == 0) {
        offer_word(offers, "host", "this machine, standing in for a GPU");
        offer_word(offers, "cuda", "the first NVIDIA GPU");
    }
    if (strcmp(list, "subjects") == 0) {
        offer_commands(offers, lspo_commands);
        for (const lspo_topic_t *topic = lspo_topics; topic->name != NULL; topic++)
            offer_word(offers, topic->name, topic->summary);
        offer_list(offers, "policies");
    }
}

/* "NAME|FILE|FOLDER": files, once; "best|last": these words. */
static void offer_values(const offers_t *offers, const char *value, const char *list)
{
    bool files = false;
    if (list != NULL)
        offer_list(offers, list);
    for (const char *end; value != NULL && *value != '\0'; value = end + (*end == '|')) {
        end = value + strcspn(value, "|");
        size_t length = (size_t)(end - value);
        bool small = value[0] >= 'a' && value[0] <= 'z';
        if (small)
            offer(offers, "", value, length, "");
        else
            files |= lspo_arg_names_files(value, length);
    }
    if (files)
        fputs(":files\n", offers->file);
}

/* Of options that belong to policies, only those of the policy in the words; none without --policy. */
static void offer_options(const offers_t *offers, const lspo_command_t *command, const lspo_policy_t *policy)
{
    lspo_arg_t arg;
    for (size_t g = 0; command->groups != NULL && command->groups[g] != NULL; g++)
        for (size_t i = 0; lspo_arg_group_at(command->groups[g], i, &arg); i++)
            if (command->groups[g] != &lspo_policy_group ||
                (policy != NULL && lspo_policy_named_use(policy, arg.name, strlen(arg.name)) != NULL))
                offer(offers, "--", arg.name, strlen(arg.name), arg.help);
    offer_word(offers, "--help", "all options");
}

/* The policy that `--policy NAME` among the words names; NULL: none does. */
static const lspo_policy_t *policy_in(char **words, int count)
{
    const lspo_policy_t *policy = NULL;
    for (int i = 0; i < count; i++) {
        const char *name = NULL;
        if (strncmp(words[i], "--policy=", 9) == 0)
            name = words[i] + 9;
        else if (strcmp(words[i], "--policy") == 0 && i + 1 < count)
            name = words[i + 1];
        for (uint32_t p = 0; name != NULL && p < lspo_any_policy_count(); p++)
            if (strcmp(lspo_any_policy_at(p)->name, name) == 0)
                policy = lspo_any_policy_at(p);
    }
    return policy;
}

static bool option_at(const lspo_command_t *command, const char *word, lspo_arg_t *arg_out)
{
    if (strncmp(word, "--", 2) == 0)
        return lspo_args_find(command->groups, word + 2, strlen(word + 2), arg_out);
    if (word[0] != '-' || word[1] == '\0' || word[2] != '\0')
        return false;
    for (size_t g = 0; command->groups != NULL && command->groups[g] != NULL; g++)
        for (size_t i = 0; lspo_arg_group_at(command->groups[g], i, arg_out); i++)
            if (arg_out->letter == word[1])
                return true;
    return false;
}

/* The command at the beginning of the words; *depth_out words belong to it. */
static const lspo_command_t *command_of(int count, char **words, int *depth_out)
{
    const lspo_command_t *const *commands = lspo_commands;
    const lspo_command_t *command = NULL;
    *depth_out = 0;
    while (commands != NULL && *depth_out < count) {
        const lspo_command_t *next = lspo_command_named(words[*depth_out], commands);
        if (next == NULL)
            break;
        command = next;
        commands = command->subcommands;
        *depth_out += 1;
    }
    return command;
}

void lspo_complete(int count, char **words, FILE *file)
{
    char *kept[WORDS_MAX];
    int kept_count = 0, depth;
    /* Bash splits --model=NAME at the =. */
    for (int i = 0; i < count && kept_count < WORDS_MAX; i++)
        if (strcmp(words[i], "=") != 0)
            kept[kept_count++] = words[i];
    bool begins = kept_count == 0 || strcmp(words[count - 1], "=") == 0;
    offers_t offers = {.file = file, .typed = begins ? "" : kept[kept_count - 1]};
    int before = begins ? kept_count : kept_count - 1;

    const lspo_command_t *command = command_of(before, kept, &depth);
    if (command == NULL || command->subcommands != NULL) {
        if (depth == before)
            offer_commands(&offers, command == NULL ? lspo_commands : command->subcommands);
        return;
    }
    lspo_arg_t arg, task;
    if (before > depth && option_at(command, kept[before - 1], &arg) && arg.value != NULL) {
        offers.trainings = !lspo_args_find(command->groups, "task", strlen("task"), &task);
        offer_values(&offers, arg.value, arg.list);
    } else if (offers.typed[0] == '-')
        offer_options(&offers, command, policy_in(kept, before));
    else
        offer_values(&offers, command->positionals, command->list);
}
