/* counters.c - see counters.h.  A thread's event set is read and closed by the destructor of a thread-specific value,
 * so that nothing has to be called when a lane's thread ends. */
#include "real/machine/counters.h"

#include <papi.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static pthread_once_t library_once = PTHREAD_ONCE_INIT;
static bool library_works;

static void start_library(void)
{
    library_works =
        PAPI_library_init(PAPI_VER_CURRENT) == PAPI_VER_CURRENT && PAPI_thread_init(pthread_self) == PAPI_OK;
}

static int make_event_set(void)
{
    int set = PAPI_NULL;
    return PAPI_create_eventset(&set) == PAPI_OK ? set : PAPI_NULL;
}

static void destroy_event_set(int set)
{
    if (set == PAPI_NULL)
        return;
    PAPI_cleanup_eventset(set);
    PAPI_destroy_eventset(&set);
}

/* Counting once tells more than a table of names does: many are known and not countable in a virtual machine. */
static bool event_counts(const char *event)
{
    char name[64];
    snprintf(name, sizeof name, "%s", event);
    long long value = 0;
    int set = make_event_set();
    bool counts = set != PAPI_NULL && PAPI_add_named_event(set, name) == PAPI_OK && PAPI_start(set) == PAPI_OK &&
                  PAPI_stop(set, &value) == PAPI_OK;
    destroy_event_set(set);
    return counts;
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

static void warn_once(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static bool warned;
    pthread_mutex_lock(&lock);
    if (!warned)
        lspo_warn("PAPI counts no events on this machine: traces come without counters");
    warned = true;
    pthread_mutex_unlock(&lock);
}

void lspo_counters_open(lspo_counters_t **counters_out)
{
    *counters_out = NULL;
    pthread_once(&library_once, start_library);
    bool any = false;
    lspo_counters_t *counters = calloc(1, sizeof *counters);
    for (int i = 0; counters && library_works && i < WANTED_COUNT; i++)
        any |= counters->available[i] = event_counts(wanted[i].event);
    if (!any || pthread_key_create(&counters->key, end_thread) != 0) {
        free(counters);
        warn_once();
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

void lspo_counters_enter(lspo_counters_t *counters, lspo_lane_kind_t lane)
{
    if (!counters)
        return;
    thread_counter_t *thread = calloc(1, sizeof *thread);
    if (!thread)
        return;
    *thread = (thread_counter_t){.counters = counters, .lane = lane, .event_set = make_event_set()};
    for (int i = 0; thread->event_set != PAPI_NULL && i < WANTED_COUNT; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s", wanted[i].event);
        if (counters->available[i] && PAPI_add_named_event(thread->event_set, name) == PAPI_OK)
            thread->event[thread->event_count++] = i;
    }
    if (thread->event_count == 0 || PAPI_start(thread->event_set) != PAPI_OK ||
        pthread_setspecific(counters->key, thread) != 0) {
        destroy_event_set(thread->event_set);
        free(thread);
    }
}

lspo_status_t lspo_counters_describe(lspo_counters_t *counters, lspo_trace_t *trace)
{
    if (!counters)
        return LSPO_OK;
    lspo_status_t status = LSPO_OK;
    for (int lane = 0; lane < LSPO_DEVICE_LANES; lane++) {
        for (int i = 0; status == LSPO_OK && i < WANTED_COUNT; i++) {
            if (!counters->available[i])
                continue;
            char key[64], value[32];
            snprintf(key, sizeof key, "counter.%s.%s", lspo_lane_kind_name((lspo_lane_kind_t)lane), wanted[i].name);
            snprintf(value, sizeof value, "%lld", counters->total[lane][i]);
            status = lspo_trace_set_meta(trace, key, value);
        }
    }
    memset(counters->total, 0, sizeof counters->total);
    return status;
}
