/* broker_job.h - the job of a broker (sim/broker.h) from a plan of a chain of peers. */
#ifndef LSPO_SIM_BROKER_JOB_H
#define LSPO_SIM_BROKER_JOB_H

#include "plan/machine.h"
#include "plan/plan.h"
#include "sim/broker.h"

/* Sets parts, micros, alone_s, micro_s, load_s and save_s of the job: a step of one micro-batch takes alone_s and
 * one of all M  alone_s + (M - 1) micro_s  by simulation; the state of the largest part crosses the slowest link
 * between neighbours in the chain to load it, and at a save.  LSPO_ERR_INPUT for a chain of one peer. */
lspo_status_t lspo_broker_describe(const lspo_plan_t *plan, const lspo_machine_t *machine, lspo_broker_job_t *job);

#endif
