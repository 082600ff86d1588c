/* counters.c - see counters.h.  The destructor of a thread-specific value reads and closes a thread's event set, so no
 * call is needed when a lane's thread ends. */
#include "real/machine/counters.h"

#include <papi.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "real/machine/apart.h"

static const struct {
    const char *event, *name;
} wanted[] = {
    {"PAPI_TOT_CYC", "cycles"},
    {"PAPI_TOT_INS", "instructions"},
    {"PAPI_L3_TCM", "l3_misses"},
    {"perf::TASK-CLOCK", "cpu_ns"},
    {"perf::PAGE-FAULTS", "page_faults"},
    {"perf::CONTEXT-SWITCHES", "context_switches"},
    {"perf::CPU-MIGRATIONS", "migrations"},
};
enum { WANTED_COUNT = sizeof wanted / sizeof wanted[0] };

struct lspo_counters {
    pthread_mutex_t lock;
    pthread_key_t key;
    bool available[WANTED_COUNT];
    long long total[LSPO_LANE_KIND_COUNT][WANTED_COUNT];
};

typedef struct {
    lspo_counters_t *counters;
    lspo_lane_kind_t lane;
    int event_set;
    int event_count;
    int event[WANTED_COUNT]; /* indices into wanted, in the set's order */
} thread_counter_t;

/* The events that can be counted here, and their names in PAPI. */
typedef struct {
    bool counts[WANTED_COUNT];
    int code[WANTED_COUNT];
} countable_t;

static pthread_once_t library_once = PTHREAD_ONCE_INIT;
static bool library_works;
static countable_t countable;

static int make_event_set(void)
{
    int set = PAPI_NULL;
    return PAPI_create_eventset(&set) == PAPI_OK ? set : PAPI_NULL;
}

/* If PAPI 7.0 has no memory to add an event to a set, it frees the set but does not forget it: the set must not be used
 * again, not even to destroy it. */
static bool add_event(int *set, int code)
{
    int result = PAPI_add_event(*set, code);
    if (result == PAPI_ENOMEM)
        *set = PAPI_NULL;
    return result == PAPI_OK;
}

static void destroy_event_set(int set)
{
    if (set == PAPI_NULL)
        return;
    PAPI_cleanup_eventset(set);
    PAPI_destroy_eventset(&set);
}

/* Try to count once instead of relying on the table of names: many events are known but cannot be counted in a virtual
 * machine. */
static bool event_counts(const char *event, int *code_out)
{
    long long value = 0;
    int set = make_event_set();
    bool counts = set != PAPI_NULL && PAPI_event_name_to_code(event, code_out) == PAPI_OK &&
                  add_event(&set, *code_out) && PAPI_start(set) == PAPI_OK && PAPI_stop(set, &value) == PAPI_OK;
    destroy_event_set(set);
    return counts;
}

/* If PAPI_library_init() of PAPI 7.0 has no memory for one of its error texts, it numbers them from -2 on: it writes
 * before its table, and the texts have other numbers.  There is no other sign of it. */
static bool texts_are_whole(void)
{
    const char *none = PAPI_strerror(PAPI_OK), *invalid = PAPI_strerror(PAPI_EINVAL);
    return none && invalid && strcmp(none, "No error") == 0 && strcmp(invalid, "Invalid argument") == 0;
}

static lspo_status_t count_once(const void *context, void *result)
{
    (void)context;
    countable_t *found = result;
    if (PAPI_library_init(PAPI_VER_CURRENT) != PAPI_VER_CURRENT || !texts_are_whole() ||
        PAPI_thread_init(pthread_self) != PAPI_OK)
        return LSPO_ERR_DEVICE;
    for (int i = 0; i < WANTED_COUNT; i++)
        found->counts[i] = event_counts(wanted[i].event, &found->code[i]);
    return LSPO_OK;
}

/* PAPI 7.0 crashes in PAPI_library_init() and PAPI_event_name_to_code() if an allocation fails: they are first tried in
 * a child process, then called here once. */
static void start_library(void)
{
    library_works = lspo_call_apart(NULL, count_once, NULL, &countable, sizeof countable) == LSPO_OK &&
                    count_once(NULL, &countable) == LSPO_OK;
}

static void end_thread(void *value)
{
    thread_counter_t *thread = value;
    lspo_counters_t *counters = thread->counters;
    long long counts[WANTED_COUNT] = {0};
    if (PAPI_stop(thread->event_set, counts) == PAPI_OK) {
        pthread_mutex_lock(&counters->lock);
        for (int i = 0; i < thread->event_count; i++)
            counters->total[thread->lane][thread->event[i]] += counts[i];
        pthread_mutex_unlock(&counters->lock);
    }
    destroy_event_set(thread->event_set);
    PAPI_unregister_thread();
    free(thread);
}

void lspo_counters_open(lspo_counters_t **counters_out)
{
    *counters_out = NULL;
    pthread_once(&library_once, start_library);
    bool any = false;
    lspo_counters_t *counters = calloc(1, sizeof *counters);
    for (int i = 0; counters && library_works && i < WANTED_COUNT; i++)
        any |= counters->available[i] = countable.counts[i];
    if (!any || pthread_key_create(&counters->key, end_thread) != 0) {
        free(counters);
        return;
    }
    pthread_mutex_init(&counters->lock, NULL);
    *counters_out = counters;
}

void lspo_counters_close(lspo_counters_t *counters)
{
    if (!counters)
        return;
    pthread_key_delete(counters->key);
    pthread_mutex_destroy(&counters->lock);
    free(counters);
}

/* The set of events that this thread counts from now on. */
static bool start_counting(thread_counter_t *thread)
{
    thread->event_set = make_event_set();
    for (int i = 0; thread->event_set != PAPI_NULL && i < WANTED_COUNT; i++)
        if (thread->counters->available[i] && add_event(&thread->event_set, countable.code[i]))
            thread->event[thread->event_count++] = i;
    return thread->event_set != PAPI_NULL && thread->event_count > 0 && PAPI_start(thread->event_set) == PAPI_OK;
}

void lspo_counters_enter(lspo_counters_t *counters, lspo_lane_kind_t lane)
{
    if (!counters)
        return;
    thread_counter_t *thread = calloc(1, sizeof *thread);
    if (!thread)
        return;
    *thread = (thread_counter_t){.counters = counters, .lane = lane};
    bool counts = start_counting(thread);
    if (counts && pthread_setspecific(counters->key, thread) == 0)
        return;
    if (counts)
        PAPI_stop(thread->event_set, NULL);
    destroy_event_set(thread->event_set);
    free(thread);
}

lspo_status_t lspo_counters_describe(lspo_counters_t *counters, lspo_trace_t *trace)
{
    if (!counters)
        return lspo_trace_set_meta(trace, "counters", "none: PAPI counts no events on this machine");
    for (int lane = 0; lane < LSPO_DEVICE_LANES; lane++) {
        for (int i = 0; i < WANTED_COUNT; i++) {
            if (!counters->available[i])
                continue;
            char key[64], value[32];
            snprintf(key, sizeof key, "counter.%s.%s", lspo_lane_kind_name((lspo_lane_kind_t)lane), wanted[i].name);
            snprintf(value, sizeof value, "%lld", counters->total[lane][i]);
            lspo_status_t status = lspo_trace_set_meta(trace, key, value);
            if (status != LSPO_OK)
                return status;
        }
    }
    memset(counters->total, 0, sizeof counters->total);
    return LSPO_OK;
}
