/* broker_run.c - see broker_run.h. */
#include "cli/broker_run.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mail.h"
#include "base/texts.h"
#include "plan/chain.h"
#include "plan/policies/fusion.h"
#include "real/train/grid_parts.h"

enum { LINE_BYTES = 4096, NOBODY = -1, IDLE_STARTS_MAX = 3, GRACE_S = 10, LOOK_MS = 1 };

static const char words_format[] = "losses %lg %lg weights %16[0-9a-f]";

void lspo_broker_say(double loss_first, double loss_last, uint64_t weights_hash)
{
    printf("losses %.9g %.9g weights %016" PRIx64 "\n", loss_first, loss_last, weights_hash);
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* ---- one start of the job ---- */

/* What has come of a line of the job. */
typedef struct {
    int descriptor; /* -1: closed */
    char line[LINE_BYTES];
    size_t length;
} stream_t;

typedef struct {
    const lspo_broker_run_t *run;
    lspo_broker_ran_t *ran;
    pid_t launcher;
    stream_t words, messages; /* its standard output and error */
    uint32_t ranks;
    bool lost;     /* a peer was lost ... */
    int rank;      /* ... this one; or NOBODY knows which */
    double kill_s; /* then the launcher is killed */
    bool said;     /* rank 0 has said its last words */
    int state;     /* as waitpid() has it */
} job_t;

static void lose(job_t *job, int rank)
{
    if (!job->lost)
        job->kill_s = now_s() + job->run->timeout_s + GRACE_S;
    job->lost = true;
    job->rank = job->rank == NOBODY ? rank : job->rank;
}

/* Of a rank that does not answer, the others tell.  Open MPI tells which one a signal has ended, and is right where two
 * are missed at once; others need not. */
static void read_message(job_t *job, const char *line)
{
    const char *ended = strstr(line, "noticed that process rank "), *silent = strstr(line, "rank ");
    int rank = NOBODY, end = 0;
    fprintf(stderr, "%s\n", line);
    if (ended && sscanf(ended, "noticed that process rank %d", &rank) == 1)
        lose(job, rank);
    else if (silent && sscanf(silent, LSPO_MAIL_SILENT "%n", &rank, &end) == 1 && end > 0)
        lose(job, rank);
    else if (strstr(line, "(--timeout)"))
        lose(job, NOBODY);
}

/* A launcher ends the others soon after one has ended, so the first one that is missed is the one.  Two at once: who
 * was first is not known.  One that has failed by itself has left, and the others are ended because of that. */
static void look_for_lost(job_t *job)
{
    uint32_t missed = 0;
    int lost = NOBODY;
    for (uint32_t rank = 0; rank < job->ranks && !job->lost; rank++) {
        const lspo_presence_t presence = lspo_parts_presence(job->run->folder, rank);
        if (presence == LSPO_PRESENCE_LEFT)
            return;
        if (presence == LSPO_PRESENCE_LOST) {
            lost = (int)rank;
            missed++;
        }
    }
    if (missed > 0)
        lose(job, missed == 1 ? lost : NOBODY);
}

static void read_words(job_t *job, const char *line)
{
    lspo_broker_ran_t *ran = job->ran;
    job->said = sscanf(line, words_format, &ran->loss_first, &ran->loss_last, ran->weights) == 3;
}

/* Longer lines are cut. */
static void read_stream(job_t *job, stream_t *stream, void (*take)(job_t *job, const char *line))
{
    char bytes[LINE_BYTES];
    const ssize_t count = read(stream->descriptor, bytes, sizeof bytes);
    if (count < 0 && errno == EINTR)
        return;
    for (ssize_t i = 0; i < count; i++) {
        if (bytes[i] != '\n' && stream->length + 1 < sizeof stream->line)
            stream->line[stream->length++] = bytes[i];
        if (bytes[i] != '\n')
            continue;
        stream->line[stream->length] = '\0';
        stream->length = 0;
        take(job, stream->line);
    }
    if (count > 0)
        return;
    if (stream->length > 0) { /* a last line without an end */
        stream->line[stream->length] = '\0';
        take(job, stream->line);
    }
    close(stream->descriptor);
    stream->descriptor = -1;
}

/* A rank that hangs may hold the streams open when the launcher has ended. */
static void watch(job_t *job)
{
    bool ended = false;
    double until_s = INFINITY;
    while (!ended || ((job->words.descriptor >= 0 || job->messages.descriptor >= 0) && now_s() < until_s)) {
        struct pollfd polled[2] = {{.fd = job->words.descriptor, .events = POLLIN},
                                   {.fd = job->messages.descriptor, .events = POLLIN}};
        (void)poll(polled, 2, LOOK_MS);
        if (!ended && waitpid(job->launcher, &job->state, WNOHANG) == job->launcher) {
            ended = true;
            until_s = now_s() + 1;
        }
        if (!ended)
            look_for_lost(job);
        if (polled[0].revents)
            read_stream(job, &job->words, read_words);
        if (polled[1].revents)
            read_stream(job, &job->messages, read_message);
        if (!ended && job->lost && now_s() > job->kill_s)
            kill(job->launcher, SIGKILL);
    }
    for (stream_t *stream = &job->words; stream <= &job->messages; stream++)
        if (stream->descriptor >= 0)
            close(stream->descriptor);
}

/* The launcher's words, then its number of ranks, this program, and the flags of the ranks. */
static lspo_status_t make_command(const lspo_broker_run_t *run, const char *chain, char *program, char ***command_out)
{
    static char ranks[16], dash_n[] = "-n", name[] = "broker", flag[] = "--chain";
    const char *launcher = run->launcher + strspn(run->launcher, " ");
    if (launcher[0] == '\0')
        return lspo_error(LSPO_ERR_INPUT, "--launcher '': it must be a command, such as mpirun");
    char **command = calloc(strlen(launcher) + (size_t)run->argc + 8, sizeof *command);
    char *words = strdup(launcher), *rest = words;
    size_t count = 0;
    if (!command || !words) {
        free(words);
        free(command);
        return lspo_no_memory("a command");
    }
    snprintf(ranks, sizeof ranks, "%" PRIu32, lspo_chain_peer_count(chain));
    for (char *word; (word = strsep(&rest, " ")) != NULL;)
        if (word[0] != '\0')
            command[count++] = word;
    command[count++] = dash_n;
    command[count++] = ranks;
    command[count++] = program;
    command[count++] = name;
    for (int i = 1; i < run->argc; i++)
        command[count++] = run->argv[i];
    command[count++] = flag;
    command[count] = (char *)chain;
    *command_out = command;
    return LSPO_OK;
}

/* The child ends with its parent, whatever ends that. */
static void become(char **command, const int *words, const int *messages)
{
    dup2(words[1], STDOUT_FILENO);
    dup2(messages[1], STDERR_FILENO);
    for (int i = 0; i < 2; i++) {
        close(words[i]);
        close(messages[i]);
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    execvp(command[0], command);
    fprintf(stderr, "%s: %s\n", command[0], strerror(errno));
    _exit(127);
}

static lspo_status_t start(job_t *job, const char *chain)
{
    char program[PATH_MAX];
    char **command = NULL;
    int words[2], messages[2];
    const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length <= 0)
        return lspo_error(LSPO_ERR_IO, "/proc/self/exe: %s", strerror(errno));
    program[length] = '\0';
    lspo_status_t status = make_command(job->run, chain, program, &command);
    if (status != LSPO_OK)
        return status;
    if (pipe(words) != 0)
        status = lspo_error(LSPO_ERR_IO, "a pipe: %s", strerror(errno));
    if (status == LSPO_OK && pipe(messages) != 0) {
        status = lspo_error(LSPO_ERR_IO, "a pipe: %s", strerror(errno));
        close(words[0]);
        close(words[1]);
    }
    if (status == LSPO_OK) {
        job->launcher = fork();
        if (job->launcher == 0)
            become(command, words, messages);
        close(words[1]);
        close(messages[1]);
        job->words.descriptor = words[0];
        job->messages.descriptor = messages[0];
        if (job->launcher < 0)
            status = lspo_error(LSPO_ERR_IO, "cannot start %s: %s", command[0], strerror(errno));
    }
    free(command[0]); /* all of the launcher's words */
    free(command);
    return status;
}

/* ---- peers ---- */

typedef struct {
    const lspo_broker_run_t *run;
    lspo_chain_t chain;
    uint32_t spare[LSPO_PEER_KINDS_MAX], backups; /* peers without a part, and how many of them may get one */
    char *text;                                   /* of the chain */
    uint32_t saved, idle_starts;
} broker_t;

static double room(const lspo_peer_kind_t *kind)
{
    return kind->has_memory ? kind->memory_bytes : (double)INFINITY;
}

static lspo_status_t write_chain(broker_t *b)
{
    free(b->text);
    b->text = NULL;
    return lspo_chain_write(&b->chain, &b->run->plan->network, &b->text);
}

static lspo_status_t open_broker(broker_t *b)
{
    const lspo_plan_t *plan = b->run->plan;
    lspo_status_t status = lspo_chain_parse("--chain", lspo_text_of(lspo_fusion_values_of(&plan->workload)->chain),
                                            &plan->network, plan->stage_count, &b->chain);
    if (status != LSPO_OK)
        return status;
    for (uint32_t k = 0; k < plan->network.kind_count; k++)
        b->spare[k] = plan->network.kinds[k].count;
    for (uint32_t p = 0; p < b->chain.count; p++)
        b->spare[b->chain.peers[p].kind]--;
    b->backups = b->run->backups;
    status = write_chain(b);
    return status == LSPO_OK ? lspo_parts_saved(b->run->folder, b->chain.count, &b->saved) : status;
}

/* A peer of another kind has other links, and those decide what --compress-links sends. */
static bool may_replace(const broker_t *b, uint32_t lost, uint32_t kind)
{
    const lspo_plan_t *plan = b->run->plan;
    if (b->spare[kind] == 0 || kind == lost)
        return b->spare[kind] > 0;
    return lspo_fusion_values_of(&plan->workload)->compress_links <= 1 &&
           room(&plan->network.kinds[kind]) >= room(&plan->network.kinds[lost]);
}

static lspo_status_t replace(broker_t *b, uint32_t part)
{
    const lspo_network_t *network = &b->run->plan->network;
    const uint32_t lost = b->chain.peers[part].kind;
    uint32_t found = b->spare[lost] > 0 ? lost : 0;
    while (found < network->kind_count && !may_replace(b, lost, found))
        found++;
    if (found == network->kind_count || b->backups == 0)
        return lspo_error(LSPO_ERR_INPUT,
                          "peer %" PRIu32 " (%s) is lost, and no backup is left for it: step %" PRIu32 " of %" PRIu32
                          " is saved in %s; the same command goes on from there",
                          part, network->kinds[lost].name, b->saved, b->run->steps, b->run->folder);
    lspo_warn("peer %" PRIu32 " (%s) is lost; a backup (%s) has its part from now on, and all go on from step %" PRIu32,
              part, network->kinds[lost].name, network->kinds[found].name, b->saved);
    b->spare[found]--;
    b->backups--;
    b->chain.peers[part].kind = found;
    return write_chain(b);
}

/* After a start in which a peer was lost. */
static lspo_status_t recover(broker_t *b, const job_t *job, lspo_broker_ran_t *ran)
{
    const uint32_t before = b->saved;
    lspo_status_t status = lspo_parts_saved(b->run->folder, b->chain.count, &b->saved);
    if (status != LSPO_OK)
        return status;
    b->idle_starts = b->saved > before ? 0 : b->idle_starts + 1;
    if (b->idle_starts == IDLE_STARTS_MAX)
        return lspo_error(LSPO_ERR_IO, "%d starts in a row have saved no step beyond %" PRIu32 ": given up",
                          IDLE_STARTS_MAX, b->saved);
    if (job->rank < 0 || (uint32_t)job->rank >= b->chain.count) {
        lspo_warn("the job has ended, and nobody knows whose fault it was: the same peers go on from step %" PRIu32,
                  b->saved);
        return LSPO_OK;
    }
    ran->replaced++;
    return replace(b, (uint32_t)job->rank);
}

/* Of a job that lost no peer. */
static lspo_status_t status_of(const job_t *job)
{
    static const lspo_status_t statuses[] = {LSPO_ERR_INPUT, LSPO_ERR_DEVICE, LSPO_ERR_FIT};
    const int code = WIFEXITED(job->state) ? WEXITSTATUS(job->state) : 1;
    if (code == 127)
        return lspo_error(LSPO_ERR_IO, "--launcher '%s' cannot be started: is there an MPI?", job->run->launcher);
    if (code == 0)
        return job->said ? LSPO_OK : lspo_error(LSPO_ERR_CHECK, "the ranks have ended without a result");
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
        if (code == lspo_status_exit_code(statuses[i]))
            return statuses[i];
    return LSPO_ERR_IO;
}

static bool ended_by_signal(int state)
{
    return WIFSIGNALED(state) || (WIFEXITED(state) && WEXITSTATUS(state) > 128);
}

static lspo_status_t run_job(broker_t *b, lspo_broker_ran_t *ran)
{
    for (;;) {
        job_t job = {.run = b->run, .ran = ran, .ranks = b->chain.count, .rank = NOBODY};
        lspo_parts_forget_presence(b->run->folder, job.ranks);
        lspo_status_t status = start(&job, b->text);
        if (status != LSPO_OK)
            return status;
        ran->starts++;
        watch(&job);
        lspo_parts_forget_presence(b->run->folder, job.ranks);
        if (!job.lost && !ended_by_signal(job.state))
            return status_of(&job);
        if (WIFEXITED(job.state) && WEXITSTATUS(job.state) == 0 && job.said)
            return LSPO_OK;
        status = recover(b, &job, ran);
        if (status != LSPO_OK)
            return status;
    }
}

lspo_status_t lspo_broker_start(const lspo_broker_run_t *run, lspo_broker_ran_t *ran_out)
{
    broker_t broker = {.run = run};
    lspo_broker_ran_t ran = {0};
    const double start_s = now_s();
    signal(SIGCHLD, SIG_DFL); /* who started this process may ignore it: nobody would learn that the launcher ends */
    lspo_status_t status = open_broker(&broker);
    if (status == LSPO_OK)
        status = run_job(&broker, &ran);
    ran.time_s = now_s() - start_s;
    ran.chain = broker.text;
    if (status == LSPO_OK)
        *ran_out = ran;
    else
        free(broker.text);
    lspo_chain_release(&broker.chain);
    return status;
}
