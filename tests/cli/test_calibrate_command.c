/* lspo calibrate --quick on this machine, once: the profile that it writes against a kernel timed here, and the
 * trainings that say where the host's cache ends and how fast kernels are in a training.  Other work on the machine
 * changes every rate, so bounds are wide; what they catch is a wrong unit or count. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/gemm.h"
#include "plan/machine.h"
#include "real/execute/lane.h"
#include "tests/own_folder.h"

enum { TRAININGS = 12 };

TestSuite(calibrate_command, .init = make_folder, .fini = remove_folder);

typedef struct {
    size_t size;
    float *a, *b, *c;
} product_t;

static void multiply(void *context)
{
    product_t *p = context;
    lspo_gemm_nn(p->size, p->size, p->size, 1, p->a, p->size, p->b, p->size, 0, p->c, p->size);
}

static double product_flops(size_t size)
{
    product_t p = {.size = size,
                   .a = calloc(size * size, sizeof(float)),
                   .b = calloc(size * size, sizeof(float)),
                   .c = calloc(size * size, sizeof(float))};
    double best_s = INFINITY; /* of some: others use the machine */
    for (int i = 0; i < 9; i++) {
        double start_s = lspo_lane_cpu_s();
        multiply(&p);
        best_s = fmin(best_s, lspo_lane_cpu_s() - start_s);
    }
    free(p.a);
    free(p.b);
    free(p.c);
    return 2 * pow((double)size, 3) / best_s;
}

static FILE *open_made(const char *name, const char *mode)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, mode);
    cr_assert_not_null(file, "%s", path);
    return file;
}

static void read_profile(const char *name, lspo_machine_t *machine_out)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    cr_assert_eq(lspo_machine_find(path, machine_out), LSPO_OK, "%s", path);
}

static void check_rates(const lspo_machine_t *machine)
{
    double flops = product_flops(512);
    double fitted =
        machine->gpu.gemm_flops[LSPO_FP32] * lspo_products_share(&machine->products, LSPO_LAYOUT_NN, 512, 512, 512);
    cr_assert_eq(lspo_machine_check(machine), LSPO_OK);
    cr_expect_gt(fitted / flops, 0.3, "fitted %g FLOP/s, measured here %g", fitted, flops);
    cr_expect_lt(fitted / flops, 3, "fitted %g FLOP/s, measured here %g", fitted, flops);
    cr_expect_geq(machine->cpu.adam_cached_pps, machine->cpu.adam_pps);
    for (int narrow = 0; narrow < 2; narrow++) {
        cr_expect_gt(machine->cpu.adam_narrow[narrow].memory_pps, 0);
        cr_expect_geq(machine->cpu.adam_narrow[narrow].cached_pps, machine->cpu.adam_narrow[narrow].memory_pps);
        cr_expect_lt(machine->cpu.adam_narrow[narrow].cached_pps, machine->cpu.adam_cached_pps, "packing takes time");
    }
    cr_expect_geq(machine->gpu.norm_cached_Bps, machine->gpu.norm_Bps);
    cr_expect_lt(machine->link.h2d_latency_s, 0.05);
    cr_expect_lt(machine->gpu.op_s, 0.01);
    cr_expect(machine->cpu.wake_s > 0 && machine->cpu.wake_s < 0.05, "a thread that sleeps takes time to wake: %g",
              machine->cpu.wake_s);
    cr_expect_gt(machine->noise.gpu_sigma, 0);
    cr_expect(machine->gpu.near_bytes == 0x1p22 || machine->gpu.near_bytes == 0x1p23 ||
                  machine->gpu.near_bytes == 0x1p24,
              "%g", machine->gpu.near_bytes);
    cr_expect_geq(machine->gpu.cache_bytes, 1.2 * machine->gpu.near_bytes, "the end is within the range that is tried");
    cr_expect_leq(machine->gpu.cache_bytes, 65 * machine->gpu.near_bytes, "the end is within the range that is tried");
    cr_expect(machine->gpu.kept_s == 0 ? machine->gpu.kept_bytes == 0
                                       : machine->gpu.kept_all_bytes >= floor(machine->gpu.near_bytes / 4) &&
                                             machine->gpu.kept_bytes > machine->gpu.kept_all_bytes);
    cr_expect_leq(machine->gpu.kept_bytes, 8 * machine->gpu.near_bytes, "no more than was read in between");
    for (size_t i = 0; i < LSPO_YARDSTICKS; i++)
        cr_expect_gt(machine->yardstick_s[i], 0);
}

/* What is read, written again, reads back. */
static void check_reading(const lspo_machine_t *machine)
{
    lspo_machine_t again;
    FILE *file = open_made("again.ini", "w");
    cr_assert_eq(lspo_machine_write(machine, "", NULL, file), LSPO_OK);
    fclose(file);
    read_profile("again.ini", &again);
    cr_expect_str_eq(again.evidence, "calibrated");
    cr_expect_eq(again.gpu.attention_flops, machine->gpu.attention_flops);
    cr_expect_eq(again.contention[LSPO_LANE_GPU][LSPO_LANE_CPU], machine->contention[LSPO_LANE_GPU][LSPO_LANE_CPU]);
    cr_expect_eq(memcmp(&again.products, &machine->products, sizeof again.products), 0);
}

/* Each of the trainings has a predicted time beside its measured one, half of them above and half below: what is within
 * 1e-4 counts for neither, since the speed that halves them is rounded.  A line:
 * kind,shape,repeat,time_s,fitted_s,residual. */
static void check_samples(void)
{
    unsigned samples = 0, trainings = 0, above = 0, below = 0;
    char line[256];
    FILE *file = open_made("host.samples.csv", "r");
    while (fgets(line, sizeof line, file) != NULL) {
        double time_s, fitted_s, residual;
        samples++;
        if (sscanf(line, "training,%*[^,],%*[^,],%lf,%lf,%lf", &time_s, &fitted_s, &residual) != 3)
            continue;
        cr_expect(time_s > 0 && fitted_s > 0 && residual > -0.9 && residual < 9, "%s", line);
        trainings++;
        above += residual > 1e-4;
        below += residual < -1e-4;
    }
    fclose(file);
    cr_expect_gt(samples, 1000u);
    cr_expect_eq(trainings, TRAININGS);
    cr_expect_leq(above, TRAININGS / 2);
    cr_expect_leq(below, TRAININGS / 2);
}

/* The comment before the profile says where the lanes are and what the caches are. */
static void check_topology(void)
{
    unsigned caches = 0;
    char line[512];
    FILE *file = open_made("host.ini", "r");
    while (fgets(line, sizeof line, file) != NULL && line[0] == '#')
        caches += strstr(line, "caches") != NULL || strstr(line, "cores: gpu on cpu") != NULL;
    fclose(file);
    cr_expect_gt(caches, 0u);
}

Test(calibrate_command, this_machine_quickly)
{
    const char *program = getenv("LSPO");
    char command[512];
    lspo_machine_t machine;
    snprintf(command, sizeof command, "cd '%s' && '%s' calibrate --quick -o host.ini > report", folder,
             program != NULL ? program : "lspo");
    cr_assert_eq(system(command), 0, "%s", command);
    read_profile("host.ini", &machine);
    check_rates(&machine);
    check_reading(&machine);
    check_samples();
    check_topology();
}
