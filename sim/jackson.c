/* jackson.c - Jackson's preemptive schedule of one machine; see jackson.h. */
#include "sim/jackson.h"

static void push(const lspo_job_t *jobs, uint32_t *heap, uint32_t count, uint32_t job)
{
    uint32_t at = count;
    for (; at > 0 && jobs[heap[(at - 1) / 2]].tail_ns < jobs[job].tail_ns; at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = job;
}

/* Takes out the first one of `count`. */
static void pop(const lspo_job_t *jobs, uint32_t *heap, uint32_t count)
{
    uint32_t last = heap[count - 1], at = 0;
    for (uint32_t child = 1; child + 1 < count; child = 2 * at + 1) {
        if (child + 2 < count && jobs[heap[child + 1]].tail_ns > jobs[heap[child]].tail_ns)
            child++;
        if (jobs[heap[child]].tail_ns <= jobs[last].tail_ns)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
}

uint64_t lspo_jackson_ns(lspo_job_t *jobs, uint32_t count, uint32_t *heap)
{
    uint64_t now_ns = 0, length_ns = 0;
    uint32_t waiting = 0, released = 0;
    while (waiting > 0 || released < count) {
        if (waiting == 0 && jobs[released].head_ns > now_ns)
            now_ns = jobs[released].head_ns;
        for (; released < count && jobs[released].head_ns <= now_ns; released++)
            push(jobs, heap, waiting++, released);
        lspo_job_t *job = &jobs[heap[0]];
        uint64_t run_ns = job->work_ns;
        if (released < count && jobs[released].head_ns - now_ns < run_ns)
            run_ns = jobs[released].head_ns - now_ns;
        now_ns += run_ns;
        job->work_ns -= run_ns;
        if (job->work_ns > 0)
            continue;
        length_ns = now_ns + job->tail_ns > length_ns ? now_ns + job->tail_ns : length_ns;
        pop(jobs, heap, waiting--);
    }
    return length_ns;
}
