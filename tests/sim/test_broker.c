/* The broker: by hand, and on random jobs against a ledger of our own, which knows only what it is told. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim/broker.h"

static uint64_t drawn = 7;
static uint32_t draw(uint32_t below)
{
    drawn = drawn * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(drawn >> 33) % below;
}

static lspo_broker_job_t calm(void)
{
    return (lspo_broker_job_t){.parts = 3,
                               .pipelines = 2,
                               .micros = 4,
                               .backups = 2,
                               .alone_s = 6,
                               .micro_s = 2,
                               .load_s = 5,
                               .save_s = 1,
                               .save_every = 2,
                               .timeout_s = 3,
                               .give_up_s = 1e6,
                               .steps = 5,
                               .limit_s = 1e6,
                               .seed = 1};
}

/* A step takes 6 + 3 x 2 = 12, every second one 1 more: 5 x 12 + 2. */
Test(broker, peers_that_stay)
{
    lspo_broker_job_t job = calm();
    lspo_broker_outcome_t outcome;
    cr_assert_eq(lspo_broker_run(&job, &outcome), LSPO_OK);
    cr_expect_eq(outcome.time_s, 62);
    cr_expect_eq(outcome.steps, 5);
    cr_expect_eq(outcome.left + outcome.replaced + outcome.repeated_micros + outcome.repeated_steps, 0);
}

/* ---- the ledger ---- */

enum { PARTS = 6, PIPELINES = 3, MICROS = 8 };

typedef struct {
    const lspo_broker_job_t *job;
    uint32_t added[PIPELINES][PARTS][MICROS];
    bool there[PIPELINES][PARTS];
    double lost_s[PIPELINES][PARTS];
    uint32_t version, wrong, updates, returns;
    double time_s;
} ledger_t;

static void clear(ledger_t *l)
{
    memset(l->added, 0, sizeof l->added);
}

/* Each part has each micro-batch of the step once, and all are there. */
static void update(ledger_t *l, const lspo_broker_event_t *e)
{
    for (uint32_t r = 0; r < l->job->pipelines; r++)
        for (uint32_t p = 0; p < l->job->parts; p++) {
            l->wrong += !l->there[r][p];
            for (uint32_t m = 0; m < l->job->micros; m++)
                l->wrong += l->added[r][p][m] != 1;
        }
    l->wrong += e->version != l->version;
    l->version++;
    l->updates++;
    clear(l);
}

static void watch(void *context, const lspo_broker_event_t *e)
{
    ledger_t *l = context;
    l->wrong += e->time_s < l->time_s; /* time goes on */
    l->time_s = e->time_s;
    switch (e->kind) {
    case LSPO_BROKER_ADD:
        l->wrong += !l->there[e->pipeline][e->part] || e->version != l->version;
        l->wrong += ++l->added[e->pipeline][e->part][e->micro] > 1;
        break;
    case LSPO_BROKER_LOSE:
        l->wrong += !l->there[e->pipeline][e->part];
        l->there[e->pipeline][e->part] = false;
        l->lost_s[e->pipeline][e->part] = e->time_s;
        memset(l->added[e->pipeline][e->part], 0, sizeof l->added[0][0]);
        break;
    case LSPO_BROKER_LOAD:
        l->wrong += l->there[e->pipeline][e->part] || e->version != l->version;
        l->wrong += e->time_s < (l->lost_s[e->pipeline][e->part] + l->job->timeout_s + l->job->load_s) * (1 - 1e-12);
        l->there[e->pipeline][e->part] = true;
        break;
    case LSPO_BROKER_RETURN: /* never below what is saved, nor further than to the last save */
        l->wrong += e->version > l->version || e->version % l->job->save_every != 0;
        l->wrong += l->version - e->version >= l->job->save_every;
        l->version = e->version;
        l->returns++;
        clear(l);
        break;
    case LSPO_BROKER_UPDATE:
        update(l, e);
        break;
    }
}

static lspo_broker_job_t draw_job(ledger_t *ledger)
{
    return (lspo_broker_job_t){.parts = 1 + draw(PARTS),
                               .pipelines = 1 + draw(PIPELINES),
                               .micros = 1 + draw(MICROS),
                               .backups = draw(4),
                               .alone_s = 1 + draw(10),
                               .micro_s = 0.1 * draw(30),
                               .load_s = draw(20),
                               .save_s = draw(3),
                               .save_every = 1 + draw(4),
                               .stay_s = 60 + draw(2000),
                               .away_s = draw(4) == 0 ? 0 : 1 + draw(300),
                               .timeout_s = draw(5),
                               .give_up_s = 5000,
                               .steps = 12,
                               .limit_s = 20000,
                               .seed = 1 + draw(1000),
                               .watch = watch,
                               .context = ledger};
}

/* No micro-batch is lost or added twice, whatever leaves when; steps that count are those that were made less those
 * that were lost; and the same seed gives the same run. */
Test(broker, each_micro_batch_is_added_once)
{
    uint64_t left = 0, returns = 0, repeated = 0, ended = 0, given_up = 0;
    for (int i = 0; i < 400; i++) {
        ledger_t ledger = {0};
        lspo_broker_job_t job = draw_job(&ledger);
        lspo_broker_outcome_t outcome, again;
        ledger.job = &job;
        memset(ledger.there, 1, sizeof ledger.there);
        cr_assert_eq(lspo_broker_run(&job, &outcome), LSPO_OK);
        cr_expect_eq(ledger.wrong, 0, "job %d: %u times", i, ledger.wrong);
        cr_expect_eq(outcome.steps, ledger.version);
        cr_expect_eq(ledger.updates, outcome.steps + outcome.repeated_steps);
        cr_expect(outcome.steps == job.steps || outcome.gave_up || outcome.time_s == job.limit_s);
        cr_expect_geq(outcome.time_s * (1 + 1e-12), outcome.steps * (job.alone_s + (job.micros - 1) * job.micro_s));
        job.watch = NULL;
        cr_assert_eq(lspo_broker_run(&job, &again), LSPO_OK);
        cr_expect_eq(outcome.time_s, again.time_s);
        cr_expect_eq(outcome.repeated_micros, again.repeated_micros);
        left += outcome.left;
        returns += ledger.returns;
        repeated += outcome.repeated_micros;
        ended += outcome.steps == job.steps;
        given_up += outcome.gave_up;
    }
    cr_expect_gt(left, 1000);
    cr_expect_gt(returns, 20);
    cr_expect_gt(repeated, 200);
    cr_expect_gt(ended, 200);
    cr_expect_gt(given_up, 3);
}

/* ---- in the mean ---- */

static double mean_time(lspo_broker_job_t job)
{
    double sum_s = 0;
    for (job.seed = 1; job.seed <= 40; job.seed++) {
        lspo_broker_outcome_t outcome;
        cr_assert_eq(lspo_broker_run(&job, &outcome), LSPO_OK);
        cr_assert_eq(outcome.steps, job.steps);
        sum_s += outcome.time_s;
    }
    return sum_s / 40;
}

/* Churn costs, more of it costs more, and backups save waiting. */
Test(broker, more_churn_is_slower_and_backups_help)
{
    lspo_broker_job_t job = calm();
    job.steps = 60;
    job.away_s = 400;
    double before_s = mean_time(job);
    for (double stay_s = 20000; stay_s > 500; stay_s /= 3) {
        job.stay_s = stay_s;
        const double now_s = mean_time(job);
        cr_expect_gt(now_s, before_s, "stay %g: %g s, less churn %g s", stay_s, now_s, before_s);
        before_s = now_s;
    }
    job.stay_s = 2000;
    job.backups = 0;
    const double none_s = mean_time(job);
    job.backups = 4;
    cr_expect_lt(mean_time(job), 0.8 * none_s);
}

/* With one pipeline, a backup always at hand and no time for anything else: a peer that leaves costs the time-out, the
 * load, and what had gone through.  Of N peers one leaves every stay / N; a lost step is lost after half of it, in the
 * mean.  So a step of S seconds takes about S + S N / stay (timeout + load + S / 2) where that is short of stay / N. */
Test(broker, rare_losses_cost_what_they_should)
{
    lspo_broker_job_t job = calm();
    job.pipelines = job.save_every = 1;
    job.save_s = 0;
    job.backups = 50;
    job.away_s = 10;
    job.steps = 400;
    job.stay_s = 3000;
    const double step_s = 12, rate = 3 / job.stay_s;
    const double expected_s = job.steps * (step_s + step_s * rate * (3 + 5 + step_s / 2));
    cr_expect_float_eq(mean_time(job), expected_s, 0.01 * expected_s, "%g s, expected %g", mean_time(job), expected_s);
}

/* Five thousand peers, of which one leaves every ten seconds or so. */
Test(broker, thousands_of_peers)
{
    lspo_broker_job_t job = calm();
    lspo_broker_outcome_t outcome;
    job.parts = 40;
    job.pipelines = 100;
    job.backups = 1000;
    job.micros = 32;
    job.stay_s = 400000;
    job.away_s = 1000;
    job.steps = 20;
    job.limit_s = 100000;
    cr_assert_eq(lspo_broker_run(&job, &outcome), LSPO_OK);
    cr_expect_eq(outcome.steps, 20);
    cr_expect_gt(outcome.replaced, 20);
}

Test(broker, numbers_out_of_range)
{
    lspo_broker_outcome_t outcome = {.steps = 77};
    for (int i = 0; i < 6; i++) {
        lspo_broker_job_t job = calm();
        job.parts = i == 0 ? 0 : job.parts;
        job.micros = i == 1 ? 0 : job.micros;
        job.save_every = i == 2 ? 0 : job.save_every;
        job.load_s = i == 3 ? (double)NAN : job.load_s;
        job.timeout_s = i == 4 ? -1 : job.timeout_s;
        job.backups = i == 5 ? LSPO_BROKER_PEERS_MAX : job.backups;
        cr_expect_eq(lspo_broker_run(&job, &outcome), LSPO_ERR_INPUT, "%d", i);
        cr_expect_eq(outcome.steps, 77);
    }
}
