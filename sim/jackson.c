/* jackson.c - Jackson's preemptive schedule of one machine; see jackson.h.
 *
 * Released jobs wait in the order of their tails.  Most often a job's tail is the shortest or the longest of those that
 * wait, because ops that are alike become ready in the order in which they are needed, or in the reverse one.  So they
 * are kept in an array that grows at both ends.
 */
#include "sim/jackson.h"

#include <string.h>

/* How many of the jobs that wait have shorter tails. */
static size_t count_shorter(const lspo_waiting_job_t *waiting, size_t count, uint64_t tail_ns)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (waiting[middle].tail_ns < tail_ns)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Between the others; returns the new first one. */
static lspo_waiting_job_t *insert(lspo_waiting_job_t *first, lspo_waiting_job_t **end, lspo_waiting_job_t job)
{
    size_t count = (size_t)(*end - first), before = count_shorter(first, count, job.tail_ns);
    if (before < count - before) {
        memmove(first - 1, first, before * sizeof *first);
        first--;
    } else {
        memmove(first + before + 1, first + before, (count - before) * sizeof *first);
        ++*end;
    }
    first[before] = job;
    return first;
}

uint64_t lspo_jackson_ns(const lspo_job_t *jobs, uint32_t count, lspo_waiting_job_t *room)
{
    lspo_waiting_job_t *first = room + count, *end = first; /* the longest tail is the last one */
    uint64_t now_ns = 0, length_ns = 0;
    for (uint32_t released = 0; released < count || first < end;) {
        if (first == end && jobs[released].head_ns > now_ns)
            now_ns = jobs[released].head_ns;
        for (; released < count && jobs[released].head_ns <= now_ns; released++) {
            const lspo_waiting_job_t job = {jobs[released].work_ns, jobs[released].tail_ns};
            if (first == end || job.tail_ns >= end[-1].tail_ns)
                *end++ = job;
            else if (job.tail_ns <= first->tail_ns)
                *--first = job;
            else
                first = insert(first, &end, job);
        }
        const uint64_t next_ns = released < count ? jobs[released].head_ns : UINT64_MAX;
        for (; first < end && now_ns < next_ns; end--) {
            const lspo_waiting_job_t *job = end - 1;
            if (job->work_ns > next_ns - now_ns) {
                end[-1].work_ns -= next_ns - now_ns;
                now_ns = next_ns;
                break;
            }
            now_ns += job->work_ns;
            length_ns = now_ns + job->tail_ns > length_ns ? now_ns + job->tail_ns : length_ns;
        }
    }
    return length_ns;
}
