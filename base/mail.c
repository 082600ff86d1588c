/* mail.c - see mail.h.  The lists `sending` and `coming` are those of MPI's thread; `posted` and `inbox` are shared. */
#include "base/mail.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mpi.h"

/* Own kinds of letters. */
enum { ALIVE, HERE, GO, BYE };

/* Between two looks: short while letters come, since an answer may be near. */
enum { SHORT_PAUSE_NS = 20000, LONG_PAUSE_NS = 100000, SHORT_PAUSES = 50, ALIVE_NS = 1000000000 };

typedef struct {
    uint32_t what, number;
    uint64_t bytes;
} header_t;

typedef struct outgoing {
    struct outgoing *next;
    int to;
    header_t header;
    const void *data;
    void *requests[2]; /* of header and data; NULL: done */
    bool done;
} outgoing_t;

typedef struct incoming {
    struct incoming *next;
    lspo_letter_t letter;
    void *request; /* of the data; NULL: done */
} incoming_t;

struct lspo_mail {
    const lspo_mpi_t *mpi;
    int rank, size;
    uint64_t timeout_ns;
    const char *flag; /* of the time-out */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* anything below */
    bool started, leaving, closing, ended;
    lspo_status_t status, end_status;
    outgoing_t *posted, *sending;
    incoming_t *coming, *inbox;
    outgoing_t *alive; /* by rank: the letter that says so */
    uint64_t *heard_ns;
    bool *left; /* by rank: it has said BYE */
    uint64_t told_ns;
    _Atomic uint64_t served_ns; /* when MPI's thread began its last round of calls of MPI */
    uint32_t meetings;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* ---- MPI's thread ---- */

/* Lock not held.  The first failure is kept and told to all who wait. */
static void fail(lspo_mail_t *mail, lspo_status_t status)
{
    pthread_mutex_lock(&mail->lock);
    if (mail->status == LSPO_OK)
        mail->status = status;
    pthread_cond_broadcast(&mail->changed);
    pthread_mutex_unlock(&mail->lock);
}

static lspo_status_t mpi_failed(void)
{
    return lspo_error(LSPO_ERR_IO, "a message of MPI failed");
}

static bool begin_outgoing(const lspo_mail_t *mail, outgoing_t *out)
{
    bool works = mail->mpi->begin_send(&out->header, (int)sizeof out->header, out->to, 0, &out->requests[0]) == 0;
    if (works && out->header.bytes > 0)
        works = mail->mpi->begin_send(out->data, (int)out->header.bytes, out->to, 1, &out->requests[1]) == 0;
    return works;
}

/* True if something is sent. */
static bool test_outgoing(const lspo_mail_t *mail, outgoing_t *out, bool *works)
{
    for (int i = 0; i < 2; i++) {
        int done = 0;
        if (out->requests[i] == NULL)
            continue;
        *works &= mail->mpi->is_done(out->requests[i], &done) == 0;
        if (done)
            out->requests[i] = NULL;
    }
    return out->requests[0] == NULL && out->requests[1] == NULL;
}

static bool send_posted(lspo_mail_t *mail, bool *works)
{
    pthread_mutex_lock(&mail->lock);
    outgoing_t *first = mail->posted, **end = &mail->sending;
    mail->posted = NULL;
    pthread_mutex_unlock(&mail->lock);
    while (*end != NULL)
        end = &(*end)->next;
    *end = first;
    for (outgoing_t *out = first; out != NULL; out = out->next)
        *works &= begin_outgoing(mail, out);
    return first != NULL;
}

static bool end_sent(lspo_mail_t *mail, bool *works)
{
    bool any = false;
    for (outgoing_t **at = &mail->sending; *at != NULL;) {
        outgoing_t *out = *at;
        if (!test_outgoing(mail, out, works)) {
            at = &out->next;
            continue;
        }
        *at = out->next;
        any = true;
        pthread_mutex_lock(&mail->lock);
        out->done = true;
        pthread_cond_broadcast(&mail->changed);
        pthread_mutex_unlock(&mail->lock);
    }
    return any;
}

static void append(incoming_t **list, incoming_t *letter)
{
    while (*list != NULL)
        list = &(*list)->next;
    letter->next = NULL;
    *list = letter;
}

/* LSPO_ERR_MEMORY is logged. */
static lspo_status_t begin_incoming(lspo_mail_t *mail, int from, const header_t *header)
{
    incoming_t *letter = calloc(1, sizeof *letter);
    if (letter == NULL)
        return lspo_no_memory("a letter");
    letter->letter = (lspo_letter_t){.from = from, .what = header->what, .number = header->number};
    letter->letter.bytes = (size_t)header->bytes;
    append(&mail->coming, letter);
    if (header->bytes == 0)
        return LSPO_OK;
    letter->letter.data = malloc(letter->letter.bytes);
    if (letter->letter.data == NULL)
        return lspo_no_memory("a letter of %zu bytes", letter->letter.bytes);
    return mail->mpi->begin_receive(letter->letter.data, (int)header->bytes, from, 1, &letter->request) == 0
               ? LSPO_OK
               : mpi_failed();
}

/* *any: a header has come. */
static lspo_status_t look(lspo_mail_t *mail, bool *any)
{
    int from, count;
    header_t header;
    if (mail->mpi->look(&from, &count) != 0)
        return mpi_failed();
    *any = from >= 0;
    if (!*any)
        return LSPO_OK;
    if (count != (int)sizeof header || mail->mpi->receive(&header, count, from) != 0)
        return mpi_failed();
    mail->heard_ns[from] = now_ns();
    return header.what == LSPO_MAIL_OWN + ALIVE ? LSPO_OK : begin_incoming(mail, from, &header);
}

/* Has an earlier letter of the same rank not come in full? */
static bool is_overtaking(const lspo_mail_t *mail, const incoming_t *letter)
{
    for (const incoming_t *before = mail->coming; before != letter; before = before->next)
        if (before->letter.from == letter->letter.from)
            return true;
    return false;
}

static bool deliver(lspo_mail_t *mail, bool *works)
{
    bool any = false;
    for (incoming_t **at = &mail->coming; *at != NULL;) {
        incoming_t *letter = *at;
        int done = 1;
        if (letter->request != NULL)
            *works &= mail->mpi->is_done(letter->request, &done) == 0;
        if (done)
            letter->request = NULL;
        if (!done || is_overtaking(mail, letter)) {
            at = &letter->next;
            continue;
        }
        *at = letter->next;
        any = true;
        pthread_mutex_lock(&mail->lock);
        if (letter->letter.what == LSPO_MAIL_OWN + BYE) {
            mail->left[letter->letter.from] = true;
            free(letter);
        } else {
            append(&mail->inbox, letter);
        }
        pthread_cond_broadcast(&mail->changed);
        pthread_mutex_unlock(&mail->lock);
    }
    return any;
}

/* To a rank that has not taken the last one, nothing is told.  One that has said BYE waits until this one says it. */
static bool tell_alive(lspo_mail_t *mail)
{
    bool works = true;
    pthread_mutex_lock(&mail->lock);
    const bool leaving = mail->leaving; /* others may have ended */
    pthread_mutex_unlock(&mail->lock);
    for (int to = 0; to < mail->size && works && !leaving; to++) {
        outgoing_t *alive = &mail->alive[to];
        if (to == mail->rank || !test_outgoing(mail, alive, &works))
            continue;
        alive->to = to;
        alive->header = (header_t){.what = LSPO_MAIL_OWN + ALIVE};
        works &= begin_outgoing(mail, alive);
    }
    mail->told_ns = now_ns();
    return works;
}

static lspo_status_t check_alive(const lspo_mail_t *mail)
{
    const uint64_t now = now_ns();
    for (int from = 0; from < mail->size; from++)
        if (from != mail->rank && !mail->left[from] && now > mail->heard_ns[from] + mail->timeout_ns)
            return lspo_error(LSPO_ERR_IO,
                              LSPO_MAIL_SILENT " for %.3g s: it has ended or hangs, or its machine cannot be reached; "
                                               "all ranks end (%s)",
                              from, 1e-9 * (double)mail->timeout_ns, mail->flag);
    return LSPO_OK;
}

static lspo_status_t serve_once(lspo_mail_t *mail, bool *any)
{
    bool works = true, came = false;
    *any = send_posted(mail, &works);
    *any |= end_sent(mail, &works);
    lspo_status_t status = look(mail, &came);
    *any |= came;
    *any |= deliver(mail, &works);
    if (now_ns() > mail->told_ns + ALIVE_NS)
        works &= tell_alive(mail);
    return status == LSPO_OK && !works ? mpi_failed() : status;
}

/* Lock held. */
static bool all_have_left(const lspo_mail_t *mail)
{
    for (int rank = 0; rank < mail->size; rank++)
        if (rank != mail->rank && !mail->left[rank])
            return false;
    return true;
}

/* Another thread may have found in the meantime that MPI does not return. */
static bool is_over(lspo_mail_t *mail)
{
    pthread_mutex_lock(&mail->lock);
    const bool ended = mail->closing && (mail->end_status != LSPO_OK || all_have_left(mail));
    const bool over = ended || mail->status != LSPO_OK;
    pthread_mutex_unlock(&mail->lock);
    return over;
}

static void serve(lspo_mail_t *mail)
{
    uint32_t pauses = 0;
    while (!is_over(mail)) {
        bool any = false;
        atomic_store(&mail->served_ns, now_ns());
        lspo_status_t status = serve_once(mail, &any);
        if (status == LSPO_OK && !is_over(mail))
            status = check_alive(mail);
        if (status != LSPO_OK) {
            fail(mail, status);
            return;
        }
        pauses = any ? 0 : pauses + 1;
        if (!any)
            nanosleep(&(struct timespec){.tv_nsec = pauses < SHORT_PAUSES ? SHORT_PAUSE_NS : LONG_PAUSE_NS}, NULL);
    }
}

/* After a failure nothing is sent or received. */
static void *mail_main(void *mail_void)
{
    lspo_mail_t *mail = mail_void;
    const bool starts = mail->mpi->start(&mail->rank, &mail->size) == 0;
    mail->alive = starts ? calloc((size_t)mail->size, sizeof *mail->alive) : NULL;
    mail->heard_ns = starts ? calloc((size_t)mail->size, sizeof *mail->heard_ns) : NULL;
    mail->left = starts ? calloc((size_t)mail->size, sizeof *mail->left) : NULL;
    const bool ready = mail->alive != NULL && mail->heard_ns != NULL && mail->left != NULL;
    for (int rank = 0; ready && rank < mail->size; rank++)
        mail->heard_ns[rank] = now_ns();
    atomic_store(&mail->served_ns, now_ns());
    if (!starts)
        fail(mail, lspo_error(LSPO_ERR_INTERNAL, "MPI does not start"));
    else if (!ready)
        fail(mail, lspo_no_memory("%d ranks", mail->size));
    pthread_mutex_lock(&mail->lock);
    mail->started = true;
    pthread_cond_broadcast(&mail->changed);
    pthread_mutex_unlock(&mail->lock);
    if (ready)
        serve(mail);
    pthread_mutex_lock(&mail->lock);
    while (!mail->closing)
        pthread_cond_wait(&mail->changed, &mail->lock);
    const lspo_status_t end_status = mail->end_status;
    pthread_mutex_unlock(&mail->lock);
    if (starts && end_status != LSPO_OK)
        mail->mpi->abort(lspo_status_exit_code(end_status));
    if (starts)
        (void)mail->mpi->end();
    pthread_mutex_lock(&mail->lock);
    mail->ended = true;
    pthread_cond_broadcast(&mail->changed);
    pthread_mutex_unlock(&mail->lock);
    return NULL;
}

/* ---- for all threads ---- */

static void end_at_once(int code, void *context)
{
    (void)context;
    fflush(NULL);
    _exit(code);
}

/* Lock held.  A call of MPI may never return, where a rank was stopped in the middle of memory that they share; then
 * only the other threads can tell. */
static void wait_a_moment(lspo_mail_t *mail)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 20000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&mail->changed, &mail->lock, &until);
    if (mail->status == LSPO_OK && now_ns() > atomic_load(&mail->served_ns) + mail->timeout_ns)
        mail->status = lspo_error(LSPO_ERR_IO,
                                  "MPI has not returned to rank %d for %.3g s: another rank hangs, or its machine "
                                  "cannot be reached; all ranks end (%s)",
                                  mail->rank, 1e-9 * (double)mail->timeout_ns, mail->flag);
}

/* MPI hangs, and its thread will never end.  MPI's destructors, which run at the end of the process, would crash. */
static void leave_thread(void)
{
    on_exit(end_at_once, NULL);
}

/* Wait for a flag that MPI's thread sets; LSPO_ERR_IO if it does not in this time. */
static lspo_status_t wait_for(lspo_mail_t *mail, const bool *flag, double seconds, const char *what)
{
    struct timespec until;
    int error = 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)ceil(seconds);
    pthread_mutex_lock(&mail->lock);
    while (!*flag && error == 0)
        error = pthread_cond_timedwait(&mail->changed, &mail->lock, &until);
    const bool set = *flag;
    pthread_mutex_unlock(&mail->lock);
    return set ? LSPO_OK
               : lspo_error(LSPO_ERR_IO, "MPI does not %s within %.3g s: a rank has ended or hangs (%s)", what, seconds,
                            mail->flag);
}

lspo_status_t lspo_mail_open(double timeout_s, const char *flag, lspo_mail_t **mail_out)
{
    const lspo_mpi_t *mpi = NULL;
    pthread_condattr_t monotonic;
    *mail_out = NULL;
    if (!lspo_mpi_is_launched())
        return LSPO_OK;
    lspo_status_t status = lspo_mpi_open("", &mpi);
    if (status != LSPO_OK)
        return status;
    lspo_mail_t *mail = calloc(1, sizeof *mail);
    if (mail == NULL)
        return lspo_no_memory("mail");
    mail->mpi = mpi;
    mail->timeout_ns = (uint64_t)(timeout_s * 1e9);
    mail->flag = flag;
    pthread_mutex_init(&mail->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&mail->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (pthread_create(&mail->thread, NULL, mail_main, mail) != 0) {
        free(mail);
        return lspo_error(LSPO_ERR_MEMORY, "cannot start a thread for MPI");
    }
    status = wait_for(mail, &mail->started, timeout_s, "start");
    if (status != LSPO_OK) {
        leave_thread();
        return status;
    }
    if (mail->status != LSPO_OK)
        return lspo_mail_close(mail, mail->status);
    *mail_out = mail;
    return LSPO_OK;
}

int lspo_mail_rank(const lspo_mail_t *mail)
{
    return mail != NULL ? mail->rank : 0;
}

int lspo_mail_size(const lspo_mail_t *mail)
{
    return mail != NULL ? mail->size : 1;
}

/* MPI's thread ends MPI, with a failure all ranks; LSPO_ERR_IO if it does not within the time-out. */
static lspo_status_t end_mpi(lspo_mail_t *mail, lspo_status_t status)
{
    pthread_mutex_lock(&mail->lock);
    mail->end_status = status;
    mail->closing = true;
    pthread_cond_broadcast(&mail->changed);
    pthread_mutex_unlock(&mail->lock);
    return wait_for(mail, &mail->ended, 1e-9 * (double)mail->timeout_ns, "end");
}

/* Lock held. */
static void post(lspo_mail_t *mail, outgoing_t *out)
{
    outgoing_t **end = &mail->posted;
    while (*end != NULL)
        end = &(*end)->next;
    *end = out;
}

/* Returns only when the letter is sent: until then MPI may use `out` and its data, and MPI's thread may only be late.
 * After a failure this process ends with both in place. */
static void send_out(lspo_mail_t *mail, outgoing_t *out)
{
    pthread_mutex_lock(&mail->lock);
    post(mail, out);
    while (!out->done && mail->status == LSPO_OK)
        wait_a_moment(mail);
    const lspo_status_t status = out->done ? LSPO_OK : mail->status;
    pthread_mutex_unlock(&mail->lock);
    if (status == LSPO_OK)
        return;
    (void)end_mpi(mail, status);
    _exit(lspo_status_exit_code(status));
}

static void send_own(lspo_mail_t *mail, int to, uint32_t what, uint32_t number)
{
    outgoing_t out = {.to = to, .header = {.what = what, .number = number}};
    send_out(mail, &out);
}

lspo_status_t lspo_mail_send(lspo_mail_t *mail, const lspo_letter_t *letter)
{
    if (letter->bytes > INT_MAX)
        return lspo_error(LSPO_ERR_INPUT, "a message of %zu bytes: MPI takes at most %d", letter->bytes, INT_MAX);
    outgoing_t out = {.to = letter->from,
                      .header = {.what = letter->what, .number = letter->number, .bytes = letter->bytes},
                      .data = letter->data};
    send_out(mail, &out);
    return LSPO_OK;
}

/* Lock held. */
static bool find(lspo_mail_t *mail, uint32_t what, int from, lspo_letter_t *letter_out)
{
    for (incoming_t **at = &mail->inbox; *at != NULL; at = &(*at)->next) {
        incoming_t *found = *at;
        if (found->letter.what != what || (from >= 0 && found->letter.from != from))
            continue;
        *at = found->next;
        *letter_out = found->letter;
        free(found);
        return true;
    }
    return false;
}

/* Lock held.  Nothing comes from a rank that has left, and it leaves only when it has got all that it waits for. */
static lspo_status_t check_left(const lspo_mail_t *mail, int from)
{
    if (from >= 0 ? !mail->left[from] : !all_have_left(mail))
        return LSPO_OK;
    return lspo_error(LSPO_ERR_CHECK, "rank %d waits for others, which have ended: do all run with the same flags?",
                      mail->rank);
}

lspo_status_t lspo_mail_take(lspo_mail_t *mail, uint32_t what, int from, const atomic_int *halted,
                             lspo_letter_t *letter_out)
{
    lspo_status_t status = LSPO_OK;
    pthread_mutex_lock(&mail->lock);
    while (status == LSPO_OK && !find(mail, what, from, letter_out)) {
        status = mail->status;
        if (status == LSPO_OK)
            status = check_left(mail, from);
        if (status == LSPO_OK && halted != NULL && atomic_load(halted) != 0)
            status = LSPO_ERR_INTERRUPTED;
        if (status == LSPO_OK)
            wait_a_moment(mail); /* and look at *halted */
    }
    pthread_mutex_unlock(&mail->lock);
    return status;
}

static lspo_status_t take_own(lspo_mail_t *mail, uint32_t what, int from)
{
    lspo_letter_t letter;
    lspo_status_t status = lspo_mail_take(mail, LSPO_MAIL_OWN + what, from, NULL, &letter);
    if (status == LSPO_OK && letter.number != mail->meetings)
        status = lspo_error(LSPO_ERR_INTERNAL, "rank %d is at meeting %" PRIu32 ", not %" PRIu32, letter.from,
                            letter.number, mail->meetings);
    return status;
}

/* All say that they are here to rank 0, which then lets them go. */
lspo_status_t lspo_mail_meet(lspo_mail_t *mail)
{
    lspo_status_t status = LSPO_OK;
    mail->meetings++;
    if (mail->rank > 0) {
        send_own(mail, 0, LSPO_MAIL_OWN + HERE, mail->meetings);
        return take_own(mail, GO, 0);
    }
    for (int rank = 1; rank < mail->size && status == LSPO_OK; rank++)
        status = take_own(mail, HERE, rank);
    for (int rank = 1; rank < mail->size && status == LSPO_OK; rank++)
        send_own(mail, rank, LSPO_MAIL_OWN + GO, mail->meetings);
    return status;
}

static void release(lspo_mail_t *mail)
{
    while (mail->inbox != NULL) {
        incoming_t *letter = mail->inbox;
        mail->inbox = letter->next;
        free(letter->letter.data);
        free(letter);
    }
    pthread_cond_destroy(&mail->changed);
    pthread_mutex_destroy(&mail->lock);
    free(mail->alive);
    free(mail->heard_ns);
    free(mail->left);
    free(mail);
}

lspo_status_t lspo_mail_close(lspo_mail_t *mail, lspo_status_t status)
{
    if (mail == NULL)
        return status;
    pthread_mutex_lock(&mail->lock);
    mail->leaving = true;
    pthread_mutex_unlock(&mail->lock);
    for (int rank = 0; rank < mail->size && status == LSPO_OK; rank++)
        if (rank != mail->rank)
            send_own(mail, rank, LSPO_MAIL_OWN + BYE, 0);
    pthread_mutex_lock(&mail->lock);
    while (status == LSPO_OK && mail->status == LSPO_OK && !all_have_left(mail))
        wait_a_moment(mail);
    status = status == LSPO_OK ? mail->status : status;
    pthread_mutex_unlock(&mail->lock);
    const lspo_status_t ended = end_mpi(mail, status);
    if (ended != LSPO_OK) {
        leave_thread();
        return status != LSPO_OK ? status : ended;
    }
    pthread_join(mail->thread, NULL);
    release(mail);
    return status;
}
