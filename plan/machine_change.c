/* machine_change.c - a profile with a part removed (lspo_machine_ablate) or slowed down (lspo_machine_pace). */
#include <math.h>
#include <string.h>

#include "plan/machine.h"

static void ablate_contention(lspo_machine_t *machine)
{
    memset(machine->contention, 0, sizeof machine->contention);
    machine->link.h2d_duplex_loss = machine->link.d2h_duplex_loss = 0.0;
}

static void ablate_shapes(lspo_machine_t *machine)
{
    machine->products.size_count = 0;
    machine->gpu.gemm_m_half = machine->gpu.gemm_n_half = machine->gpu.gemm_k_half = 0.0;
    machine->gpu.attention_sequence_half = machine->gpu.attention_width_half = 0.0;
}

static void ablate_latency(lspo_machine_t *machine)
{
    machine->gpu.launch_s = machine->gpu.op_s = machine->cpu.op_s = 0.0;
    machine->link.h2d_latency_s = machine->link.d2h_latency_s = 0.0;
    machine->net.latency_s = machine->ssd.latency_s = machine->cpu.wake_s = 0.0;
}

static void ablate_cache(lspo_machine_t *machine)
{
    machine->gpu.cache_bytes = machine->gpu.kept_bytes = machine->cpu.cache_bytes = 0.0;
}

lspo_status_t lspo_machine_ablate(lspo_machine_t *machine, const char *part)
{
    static const struct {
        const char *part;
        void (*ablate)(lspo_machine_t *machine);
    } parts[] = {{"contention", ablate_contention},
                 {"shapes", ablate_shapes},
                 {"latency", ablate_latency},
                 {"cache", ablate_cache}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (strcmp(part, parts[i].part) == 0) {
            parts[i].ablate(machine);
            return LSPO_OK;
        }
    }
    return lspo_error(LSPO_ERR_INPUT, "no part '%s' of the predictions; parts: contention, shapes, latency, cache",
                      part);
}

/* The paced rate as a fraction of the lane's rate; 1 if it is not paced. */
static double pace_fraction(double rate, double pace)
{
    return pace > 0 && pace < rate ? pace / rate : 1.0;
}

static double *loss_of(lspo_machine_t *machine, int slowed, int running)
{
    if (slowed == LSPO_LANE_D2H && running == LSPO_LANE_H2D)
        return &machine->link.d2h_duplex_loss;
    if (slowed == LSPO_LANE_H2D && running == LSPO_LANE_D2H)
        return &machine->link.h2d_duplex_loss;
    return &machine->contention[slowed][running];
}

static void scale_losses(lspo_machine_t *machine, const double fraction[LSPO_DEVICE_LANES])
{
    for (int slowed = 0; slowed < LSPO_DEVICE_LANES; slowed++)
        for (int running = 0; running < LSPO_DEVICE_LANES; running++) {
            double *loss = loss_of(machine, slowed, running);
            double caused = *loss * fraction[running];
            double below_pace = 1.0 - (1.0 - caused) / fraction[slowed];
            *loss = fraction[slowed] < 1.0 ? fmax(0.0, below_pace) : caused;
        }
}

void lspo_machine_pace(lspo_machine_t *machine, double link_Bps, double cpu_pps)
{
    const double fraction[LSPO_DEVICE_LANES] = {
        [LSPO_LANE_GPU] = 1.0,
        [LSPO_LANE_D2H] = pace_fraction(machine->link.d2h_Bps, link_Bps),
        [LSPO_LANE_H2D] = pace_fraction(machine->link.h2d_Bps, link_Bps),
        [LSPO_LANE_CPU] = pace_fraction(machine->cpu.adam_pps, cpu_pps),
    };
    scale_losses(machine, fraction);
    if (link_Bps > 0.0)
        machine->link.h2d_Bps = machine->link.d2h_Bps = link_Bps;
    if (fraction[LSPO_LANE_CPU] < 1.0)
        machine->cpu.own_adam_pps = machine->cpu.adam_pps;
    if (cpu_pps > 0.0)
        machine->cpu.adam_pps = machine->cpu.adam_cached_pps = cpu_pps;
}
