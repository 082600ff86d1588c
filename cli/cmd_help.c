/* cmd_help.c - `lspo help` and `lspo version`. */
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "ask/version.h"
#include "base/names.h"
#include "cli/command.h"
#include "cli/data_folder.h"
#include "cli/help.h"

typedef struct {
    bool man, pages, policies;
} help_request_t;

static const lspo_arg_t help_args[] = {
    {.name = "man",
     .help = "print a man page: lspo help sim --man | man -l -",
     .store = lspo_arg_switch,
     .offset_bytes = offsetof(help_request_t, man)},
    {.name = "pages",
     .help = "list the commands that have a man page, one per line",
     .store = lspo_arg_switch,
     .offset_bytes = offsetof(help_request_t, pages)},
    {.name = "policies",
     .help = "list the policies, each of which has a man page, one per line",
     .store = lspo_arg_switch,
     .offset_bytes = offsetof(help_request_t, policies)},
};

static void write_policies(void)
{
    for (uint32_t i = 0; i < lspo_any_policy_count(); i++)
        puts(lspo_any_policy_at(i)->name);
}

static const lspo_policy_t *policy_named(const char *name)
{
    for (uint32_t i = 0; i < lspo_any_policy_count(); i++)
        if (strcmp(lspo_any_policy_at(i)->name, name) == 0)
            return lspo_any_policy_at(i);
    return NULL;
}

static void write_pages(const lspo_command_t *const *commands)
{
    for (; *commands != NULL; commands++) {
        if ((*commands)->same_as != NULL)
            continue;
        puts((*commands)->name);
        if ((*commands)->subcommands != NULL)
            write_pages((*commands)->subcommands);
    }
}

static const lspo_topic_t *topic_named(const char *name)
{
    for (const lspo_topic_t *topic = lspo_topics; topic->name != NULL; topic++)
        if (strcmp(topic->name, name) == 0)
            return topic;
    return NULL;
}

static lspo_status_t refuse_subject(const char *name)
{
    enum { SUBJECTS_MAX = 256 };
    const char *names[SUBJECTS_MAX];
    size_t count = 0;
    for (size_t i = 0; lspo_commands[i] != NULL && count < SUBJECTS_MAX; i++)
        names[count++] = lspo_commands[i]->name;
    for (size_t i = 0; lspo_topics[i].name != NULL && count < SUBJECTS_MAX; i++)
        names[count++] = lspo_topics[i].name;
    for (uint32_t i = 0; i < lspo_any_policy_count() && count < SUBJECTS_MAX; i++)
        names[count++] = lspo_any_policy_at(i)->name;
    return lspo_name_refuse("help", name, names, count, NULL);
}

static bool is_command(const char *name)
{
    for (size_t i = 0; lspo_commands[i] != NULL; i++)
        if (strcmp(lspo_commands[i]->name, name) == 0)
            return true;
    return false;
}

static lspo_status_t help_on(const lspo_positionals_t *subject, const help_request_t *request)
{
    const lspo_topic_t *topic = topic_named(subject->texts[0]);
    const lspo_command_t *command;
    int depth;
    if (topic != NULL && subject->count == 1 && !request->man) {
        lspo_help_write_topic(topic, stdout);
        return LSPO_OK;
    }
    const lspo_policy_t *policy = policy_named(subject->texts[0]);
    if (policy != NULL && subject->count == 1) {
        if (request->man)
            lspo_help_write_policy_man(policy, stdout);
        else
            lspo_help_write_policy(policy, stdout);
        return LSPO_OK;
    }
    if (!is_command(subject->texts[0]))
        return refuse_subject(subject->texts[0]);
    char *words[LSPO_POSITIONALS_MAX];
    for (size_t i = 0; i < subject->count; i++)
        words[i] = (char *)subject->texts[i];
    lspo_status_t status = lspo_command_find((int)subject->count, words, &command, &depth);
    if (status != LSPO_OK)
        return status;
    if (request->man)
        lspo_help_write_man(command, stdout);
    else
        lspo_help_write(command, true, stdout);
    return LSPO_OK;
}

static lspo_status_t help(int argc, char **argv)
{
    help_request_t request = {0};
    lspo_positionals_t subject;
    lspo_status_t status = lspo_command_parse(&lspo_command_help, argc, argv, &request, &subject);
    if (status != LSPO_OK)
        return status;
    if (subject.count > 0)
        return help_on(&subject, &request);
    if (request.policies)
        write_policies();
    else if (request.pages)
        write_pages(lspo_commands);
    else if (request.man)
        lspo_help_write_man(NULL, stdout);
    else
        lspo_help_write_overview(stdout);
    return LSPO_OK;
}

static const lspo_arg_group_t help_group = LSPO_ARG_GROUP("options", help_args);

const lspo_command_t lspo_command_help = {
    .name = "help",
    .summary = "explain a command, a policy, or a subject such as exit-codes",
    .usage = "[COMMAND | POLICY | SUBJECT] [options]",
    .about = "`lspo help COMMAND` is the same as `lspo COMMAND --help`. `lspo help POLICY` shows a policy's semantics, "
             "citation and own options. `lspo help` lists commands and subjects.",
    .examples = "lspo help sim\nlspo help trace import\nlspo help lsp\nlspo help exit-codes",
    .groups = (const lspo_arg_group_t *const[]){&help_group, NULL},
    .positional_most = 2,
    .list = "subjects",
    .runs_bare = true,
    .run = help,
};

typedef struct {
    bool data;
} version_request_t;

static const lspo_arg_t version_args[] = {
    {.name = "data",
     .help = "print the folder that holds lspo's plots/ and experiments/",
     .store = lspo_arg_switch,
     .offset_bytes = offsetof(version_request_t, data)},
};

static lspo_status_t version(int argc, char **argv)
{
    char folder[PATH_MAX];
    version_request_t request = {0};
    lspo_positionals_t positionals;
    lspo_status_t status = lspo_command_parse(&lspo_command_version, argc, argv, &request, &positionals);
    if (status != LSPO_OK)
        return status;
    if (request.data) {
        status = lspo_data_folder(folder);
        if (status != LSPO_OK)
            return status;
        puts(folder);
    } else {
        printf("lspo %s (%s, %s)\n", PACKAGE_VERSION, lspo_git_id, LSPO_CONFIGURATION);
    }
    return LSPO_OK;
}

static const lspo_arg_group_t version_group = LSPO_ARG_GROUP("options", version_args);

const lspo_command_t lspo_command_version = {
    .name = "version",
    .summary = "print version, git id and configuration",
    .usage = "[--data]",
    .about = "The same as `lspo --version` and `lspo -V`.",
    .examples = "lspo version\nlspo validate --grid $(lspo version --data)/experiments/sim-vs-host/grid --budget 3min",
    .groups = (const lspo_arg_group_t *const[]){&version_group, NULL},
    .runs_bare = true,
    .run = version,
};
