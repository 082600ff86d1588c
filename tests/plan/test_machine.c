/* Machine profiles: the fit to the paper's Table 1, files, overrides, ranges. */
#include "plan/machine.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plan/stage_work.h"
#include "sim/cost.h"

static const lspo_model_t gpt = {.family = LSPO_FAMILY_GPT};

static lspo_machine_t find(const char *name)
{
    lspo_machine_t machine;
    cr_assert_eq(lspo_machine_find(name, &machine), LSPO_OK, "%s", name);
    return machine;
}

static double field_value(const lspo_machine_t *machine, size_t index)
{
    double value;
    memcpy(&value, (const char *)machine + lspo_machine_fields[index].offset_bytes, sizeof value);
    return value;
}

Test(machine, presets_pass_their_check_and_say_where_they_come_from)
{
    static const char *const expected[] = {"host-reference", "paper-workstation", "paper-laptop",
                                           "rtx4090",        "rtx3060",           "a1000-laptop",
                                           "a100-80gb-sxm",  "h100-80gb-pcie",    "h100-80gb-sxm"};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        find(expected[i]);
    }
    for (uint32_t i = 0; i < lspo_machine_preset_count(LSPO_PART_MACHINE); i++) {
        lspo_machine_t preset;
        cr_assert_eq(lspo_machine_preset(LSPO_PART_MACHINE, i, &preset), LSPO_OK);
        cr_expect_str_eq(preset.name, lspo_machine_preset_name(LSPO_PART_MACHINE, i));
        cr_expect_eq(lspo_machine_check(&preset), LSPO_OK, "%s", preset.name);
        cr_expect_gt(strlen(preset.source), 20u, "%s", preset.name);
        cr_expect_gt(strlen(preset.description), 20u, "%s", preset.name);
    }
}

/* A card has no field but those of [gpu], a host none but those of [cpu], a framework none but [software]; card and
 * host say their PCIe. */
Test(machine, cards_and_hosts_are_halves)
{
    for (int part = LSPO_PART_CARD; part <= LSPO_PART_FRAMEWORK; part++) {
        static const char *const sections[] = {
            [LSPO_PART_CARD] = "gpu", [LSPO_PART_HOST] = "cpu", [LSPO_PART_FRAMEWORK] = "software"};
        const char *section = sections[part];
        uint32_t count = lspo_machine_preset_count((lspo_machine_part_t)part);
        cr_expect_gt(count, 6u);
        for (uint32_t i = 0; i < count; i++) {
            lspo_machine_t half;
            cr_assert_eq(lspo_machine_preset((lspo_machine_part_t)part, i, &half), LSPO_OK);
            cr_expect_str_eq(half.name, lspo_machine_preset_name((lspo_machine_part_t)part, i));
            cr_expect_gt(strlen(half.source), 20u, "%s", half.name);
            for (size_t f = 0; f < lspo_machine_field_count; f++) {
                const lspo_machine_field_t *field = &lspo_machine_fields[f];
                double value = field_value(&half, f);
                bool own = strcmp(field->section, section) == 0 || strncmp(field->key, "pcie_", 5) == 0;
                cr_expect(own ? value >= field->low && value <= field->high : value == 0.0, "%s: %s", half.name,
                          field->key);
            }
        }
    }
}

/* Every double of the struct has a row, so that none escapes the writer: 4 x 4 contention less 4 of a lane on itself
 * and 2 between the links, which have their duplex losses; and less the rate that a pace keeps.
 * The grid of products has a section of its own. */
Test(machine, the_field_table_covers_the_struct)
{
    lspo_machine_t machine = {0};
    size_t numbers = (sizeof machine - offsetof(lspo_machine_t, gpu) - sizeof machine.products) / sizeof(double);
    cr_expect_eq(lspo_machine_field_count, numbers - 7);
    for (size_t i = 0; i < lspo_machine_field_count; i++) {
        for (size_t j = 0; j < i; j++) {
            cr_expect_neq(lspo_machine_fields[i].offset_bytes, lspo_machine_fields[j].offset_bytes);
        }
    }
}

/* Table 1 of arXiv 2406.10181: a llama-7b block (202,383,360 parameters), taken at 8 x 512 tokens in fp16. */
Test(machine, workstation_gives_the_papers_table_1)
{
    lspo_machine_t machine = find("paper-workstation");
    lspo_model_t model;
    lspo_workload_t workload;
    lspo_work_t work;
    lspo_stage_t block;
    cr_assert_eq(lspo_model_find("llama-7b", &model), LSPO_OK);
    lspo_workload_default(&workload);
    workload.batch = 8;
    lspo_model_stage(&model, 1, &block);
    cr_assert_eq(block.element_count, 202383360u);

    lspo_stage_work_forward(&model, &workload, 1, &work);
    cr_expect_float_eq(lspo_cost_work_s(&(lspo_cost_context_t){&machine, &model, LSPO_FP16}, LSPO_LANE_GPU, 0, &work),
                       12.2e-3, 0.01e-3);
    cr_expect_float_eq(lspo_work_flop(&work) / machine.cpu.compute_flops, 1.61, 0.005);
    lspo_stage_work_backward(&model, &workload, 1, true, true, &work);
    cr_expect_float_eq(lspo_cost_work_s(&(lspo_cost_context_t){&machine, &model, LSPO_FP16}, LSPO_LANE_GPU, 0, &work),
                       28.1e-3, 0.02e-3);
    cr_expect_float_eq(lspo_work_flop(&work) / machine.cpu.compute_flops, 3.30, 0.1);
    lspo_work_adam(block.element_count, &work);
    cr_expect_float_eq(lspo_cost_work_s(&(lspo_cost_context_t){&machine, &model, LSPO_FP16}, LSPO_LANE_GPU, 0, &work),
                       1e-3, 1e-6);
    cr_expect_float_eq(lspo_cost_work_s(&(lspo_cost_context_t){&machine, &model, LSPO_FP16}, LSPO_LANE_CPU, 0, &work),
                       0.06, 1e-4);
    cr_expect_eq(machine.link.h2d_Bps, 15e9);
    cr_expect_eq(machine.link.d2h_Bps, 15e9);
}

/* FWD + RECOMPUTE + BWD of whole GPT models at s 1024 on an A100, from vTrain's public measurements
 * (docs/machines.md). */
Test(machine, a100_is_near_the_measured_rows)
{
    static const struct {
        uint32_t width, blocks, batch;
        double measured_ms;
    } rows[] = {{1024, 12, 1, 42.8},  {1024, 12, 2, 48.6},  {1024, 12, 4, 78.8},  {1024, 24, 1, 78.8},
                {1024, 24, 2, 86.5},  {1024, 24, 4, 138.1}, {2048, 12, 1, 49.7},  {2048, 12, 2, 75.9},
                {2048, 12, 4, 141.0}, {2048, 24, 1, 88.5},  {2048, 24, 2, 133.0}, {2048, 24, 4, 246.5}};
    lspo_machine_t machine = find("a100-80gb-sxm");
    cr_assert_eq(lspo_machine_use_framework(&machine, "megatron"), LSPO_OK);
    double worst = 0.0, square_sum = 0.0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lspo_model_t model = {.name = "row",
                              .family = LSPO_FAMILY_GPT,
                              .block_count = rows[i].blocks,
                              .width = rows[i].width,
                              .head_count = 16,
                              .kv_head_count = 16,
                              .mlp_width = 4 * rows[i].width,
                              .vocabulary = 51200,
                              .max_sequence = 1024,
                              .tied_head = true};
        lspo_workload_t workload;
        lspo_workload_default(&workload);
        workload.batch = rows[i].batch;
        workload.sequence = 1024;
        double total_s = 0.0;
        for (uint32_t s = 0; s < lspo_model_stage_count(&model); s++) {
            lspo_work_t work;
            lspo_stage_work_forward(&model, &workload, s, &work);
            total_s += lspo_cost_work_s(&(lspo_cost_context_t){&machine, &gpt, LSPO_FP16}, LSPO_LANE_GPU, 0, &work);
            lspo_stage_work_recompute(&model, &workload, s, &work);
            total_s += lspo_cost_work_s(&(lspo_cost_context_t){&machine, &gpt, LSPO_FP16}, LSPO_LANE_GPU, 0, &work);
            lspo_stage_work_backward(&model, &workload, s, true, true, &work);
            total_s += lspo_cost_work_s(&(lspo_cost_context_t){&machine, &gpt, LSPO_FP16}, LSPO_LANE_GPU, 0, &work);
        }
        double error = fabs(log(1e3 * total_s / rows[i].measured_ms));
        worst = fmax(worst, error);
        square_sum += error * error;
    }
    cr_log_info("a100: rms %.3f worst %.3f", sqrt(square_sum / 12.0), worst);
    cr_expect_lt(sqrt(square_sum / 12.0), 0.08);
    cr_expect_lt(worst, 0.15);
}

static void write_file(char *path, const char *text)
{
    strcpy(path, "/tmp/lspo-machine-XXXXXX");
    int file = mkstemp(path);
    cr_assert_geq(file, 0);
    cr_assert_eq(write(file, text, strlen(text)), (ssize_t)strlen(text));
    close(file);
}

static lspo_status_t read_text(const char *text, lspo_machine_t *machine)
{
    char path[40];
    write_file(path, text);
    lspo_status_t status = lspo_machine_find(path, machine);
    unlink(path);
    return status;
}

/* Digits that no short decimal has, in every field. */
Test(machine, a_written_profile_reads_back_to_the_same_bits)
{
    lspo_machine_t machine = find("rtx4090"), again;
    char path[40];
    for (size_t i = 0; i < lspo_machine_field_count; i++) {
        const lspo_machine_field_t *field = &lspo_machine_fields[i];
        double value =
            fmin(field->high, fmax(field->low, field_value(&machine, i))) * 0.987654321012345678 + 1e-3 / 7.0;
        value = fmin(field->high, fmax(field->low, value));
        memcpy((char *)&machine + field->offset_bytes, &value, sizeof value);
    }
    machine.products = (lspo_products_t){.size_count = 2, .sizes = {1.0 / 3.0, 64}};
    for (int i = 0; i < 24; i++)
        machine.products.share[i / 8][i / 4 % 2][i / 2 % 2][i % 2] = 1.0 / (3.0 + i);
    strcpy(machine.description, "measured; twice");
    write_file(path, "");
    FILE *file = fopen(path, "w");
    cr_assert_eq(lspo_machine_write(&machine, "first line\nsecond line", NULL, file), LSPO_OK);
    fclose(file);
    cr_assert_eq(lspo_machine_find(path, &again), LSPO_OK);
    unlink(path);
    for (size_t i = 0; i < lspo_machine_field_count; i++) {
        cr_expect_eq(field_value(&again, i), field_value(&machine, i), "%s", lspo_machine_fields[i].key);
    }
    cr_expect_eq(memcmp(&again.products, &machine.products, sizeof again.products), 0);
    cr_expect_str_eq(again.name, "rtx4090");
    cr_expect_str_eq(again.description, "measured; twice");
    cr_expect_str_eq(again.source, machine.source);
    cr_expect_str_eq(again.evidence, "fitted");
    cr_expect_str_eq(again.group, "GeForce");
}

Test(machine, presets_survive_a_file)
{
    for (uint32_t p = 0; p < lspo_machine_preset_count(LSPO_PART_MACHINE); p++) {
        lspo_machine_t found, again;
        cr_assert_eq(lspo_machine_preset(LSPO_PART_MACHINE, p, &found), LSPO_OK);
        const lspo_machine_t *preset = &found;
        char path[40];
        write_file(path, "");
        FILE *file = fopen(path, "w");
        cr_assert_eq(lspo_machine_write(preset, NULL, NULL, file), LSPO_OK);
        fclose(file);
        cr_assert_eq(lspo_machine_find(path, &again), LSPO_OK);
        unlink(path);
        for (size_t i = 0; i < lspo_machine_field_count; i++) {
            cr_expect_eq(field_value(&again, i), field_value(preset, i), "%s %s", preset->name,
                         lspo_machine_fields[i].key);
        }
        cr_expect_str_eq(again.source, preset->source);
    }
}

Test(machine, a_base_gives_what_the_file_leaves_out)
{
    lspo_machine_t machine, base = find("rtx4090");
    cr_assert_eq(read_text("[machine]\nbase = rtx4090\nname = mine\n[link]\nh2d_Bps = 12GB/s\n", &machine), LSPO_OK);
    cr_expect_str_eq(machine.name, "mine");
    cr_expect_eq(machine.link.h2d_Bps, 12e9);
    cr_expect_eq(machine.link.d2h_Bps, base.link.d2h_Bps);
    cr_expect_eq(machine.gpu.memory_bytes, base.gpu.memory_bytes);
}

/* Values of [gpu] from rtx3060's card, of [cpu] from the Threadripper, of [link] from the base; then the file's own. */
Test(machine, a_card_and_a_host_take_the_place_of_a_bases)
{
    lspo_machine_t machine, base = find("a100-80gb-sxm"), card = find("rtx3060"), host = find("paper-workstation");
    cr_assert_eq(read_text("[machine]\nbase = a100-80gb-sxm\ncard = rtx3060\nhost = threadripper-3970x-252gb\n"
                           "name = mine\n[gpu]\nlaunch_s = 7us\n",
                           &machine),
                 LSPO_OK);
    cr_expect_str_eq(machine.name, "mine");
    for (size_t i = 0; i < lspo_machine_field_count; i++) {
        const char *section = lspo_machine_fields[i].section;
        const lspo_machine_t *from = strcmp(section, "gpu") == 0 ? &card : strcmp(section, "cpu") == 0 ? &host : &base;
        double expected = strcmp(lspo_machine_fields[i].key, "launch_s") == 0 ? 7e-6 : field_value(from, i);
        cr_expect_eq(field_value(&machine, i), expected, "%s", lspo_machine_fields[i].key);
    }
    cr_assert_eq(read_text("[machine]\ncard = rtx3060\nhost = threadripper-3970x-252gb\nname = mine\n[link]\n"
                           "h2d_Bps = 1GB/s\nd2h_Bps = 2GB/s\n",
                           &machine),
                 LSPO_OK);
    cr_expect_eq(machine.gpu.memory_bytes, card.gpu.memory_bytes);
    cr_expect_eq(machine.cpu.adam_pps, host.cpu.adam_pps);
    cr_expect_eq(machine.link.h2d_duplex_loss, 0.0);
}

/* CARD+HOST: [gpu] and [cpu] of the two, and the link of machine_link.h: 25 GB/s at Gen4 x16, since the smaller of
 * generation and lanes counts.  Numbers from the sources cited there. */
Test(machine, a_card_and_a_host_are_joined_by_a_plus)
{
    static const struct {
        const char *card, *host;
        double h2d_Bps, d2h_Bps, h2d_duplex_loss, generation, lanes;
    } joined[] = {
        {"rtx3060", "threadripper-3970x-252gb", 25e9, 25e9, 0.27, 4, 16},
        {"rtx4060", "desktop-ddr5", 12.5e9, 12.5e9, 0.27, 4, 8},
        {"rtx5090", "desktop-ddr5", 56.3e9, 57.3e9, 0.1, 5, 16},
        {"rtx5090", "desktop-ddr4", 25e9, 25e9, 0.27, 4, 16},
        {"rtx5090", "laptop-ddr4-3200-16gib", 12.5e9, 12.5e9, 0.27, 4, 8},
        {"v100-32gb", "server-ddr5", 12.5e9, 12.8e9, 0.27, 3, 16},
    };
    for (size_t i = 0; i < sizeof joined / sizeof joined[0]; i++) {
        char name[64], text[160];
        lspo_machine_t file;
        snprintf(name, sizeof name, "%s+%s", joined[i].card, joined[i].host);
        lspo_machine_t machine = find(name);
        cr_expect_str_eq(machine.name, name);
        cr_expect_eq(lspo_machine_check(&machine), LSPO_OK, "%s", name);
        cr_expect_eq(machine.link.h2d_Bps, joined[i].h2d_Bps, "%s", name);
        cr_expect_eq(machine.link.d2h_Bps, joined[i].d2h_Bps, "%s", name);
        cr_expect_eq(machine.link.h2d_duplex_loss, joined[i].h2d_duplex_loss, "%s", name);
        cr_expect_eq(machine.link.d2h_duplex_loss, 0.04, "%s", name);
        cr_expect_eq(machine.link.pcie_generation, joined[i].generation, "%s", name);
        cr_expect_eq(machine.link.pcie_lanes, joined[i].lanes, "%s", name);
        cr_expect_eq(machine.link.h2d_latency_s, 10e-6);
        /* A machine's file with the same card and host has the same values. */
        snprintf(text, sizeof text, "[machine]\ncard = %s\nhost = %s\nname = mine\n", joined[i].card, joined[i].host);
        cr_assert_eq(read_text(text, &file), LSPO_OK);
        for (size_t f = 0; f < lspo_machine_field_count; f++)
            cr_expect_eq(field_value(&file, f), field_value(&machine, f), "%s: %s", name, lspo_machine_fields[f].key);
    }
    lspo_machine_t machine = find("rtx3060+threadripper-3970x-252gb");
    cr_expect_eq(machine.gpu.memory_bytes, find("rtx3060").gpu.memory_bytes);
    cr_expect_eq(machine.cpu.memory_bytes, 252e9);
}

/* A card's name is the card in its usual host, unless a machine's file has that name: rtx4090's link is its file's. */
Test(machine, a_card_alone_is_in_its_usual_host)
{
    lspo_machine_t alone = find("rtx3090"), joined = find("rtx3090+desktop-ddr4"), file = find("rtx4090"), based;
    cr_expect_str_eq(alone.name, "rtx3090");
    cr_expect_str_eq(alone.evidence, "data sheet");
    cr_expect_str_eq(alone.group, "GeForce");
    for (size_t f = 0; f < lspo_machine_field_count; f++)
        cr_expect_eq(field_value(&alone, f), field_value(&joined, f), "%s", lspo_machine_fields[f].key);
    cr_expect_eq(alone.cpu.memory_bytes, 64.0 * 0x1p30);
    cr_expect_eq(file.link.h2d_Bps, 25.2e9);
    cr_expect_str_eq(file.evidence, "fitted");
    cr_assert_eq(read_text("[machine]\nbase = rtx3090+server-ddr4\nname = mine\nevidence = calibrated\n"
                           "[link]\nh2d_Bps = 1GB/s\n",
                           &based),
                 LSPO_OK);
    cr_expect_eq(based.link.h2d_Bps, 1e9);
    cr_expect_eq(based.link.d2h_Bps, 25e9);
    cr_expect_eq(based.cpu.memory_bytes, 512.0 * 0x1p30);
    cr_expect_str_eq(based.evidence, "calibrated");
    cr_expect_str_eq(based.group, "GeForce");
}

static void expect_refusals(const char *const (*names)[2], size_t count)
{
    char text[16384] = "";
    lspo_machine_t machine;
    for (size_t i = 0; i < count; i++)
        cr_expect_eq(lspo_machine_find(names[i][0], &machine), LSPO_ERR_INPUT, "%s", names[i][0]);
    fflush(stderr);
    cr_assert_gt(fread(text, 1, sizeof text - 1, cr_get_redirected_stderr()), 0u);
    for (size_t i = 0; i < count; i++)
        cr_expect(strstr(text, names[i][1]) != NULL, "'%s' not in: %s", names[i][1], text);
}

Test(machine, joining_is_refused_by_the_half_that_is_wrong, .init = cr_redirect_stderr)
{
    static const char *const names[][2] = {
        {"rtx3060+host-core", "rtx3060+host-core: the host host-core does not say its PCIe (pcie = 4x16)"},
        {"gh200+desktop-ddr5", "gh200+desktop-ddr5: the card gh200 does not say its PCIe"},
        {"rtx3061+desktop-ddr5", "card: 'rtx3061' is not one of `lspo list cards`, nor a file"},
        {"rtx3061+desktop-ddr5", "did you mean rtx3060?"},
        {"rtx3060+desktop-dr5", "host: 'desktop-dr5' is not one of `lspo list hosts`, nor a file"},
        {"rtx3060+desktop-dr5", "did you mean desktop-ddr5?"},
        {"rtx3060+", "host: '' is not one of"},
        {"+desktop-ddr5", "card: '' is not one of"},
        {"rtx3060+./no-such-host.ini", "no-such-host.ini"},
        {"host-core", "host-core is a card without a usual host: write host-core+HOST"},
        {"desktop-ddr5", "desktop-ddr5 is a host: write CARD+desktop-ddr5"},
        {"rtx309", "did you mean rtx3090?"},
    };
    expect_refusals(names, sizeof names / sizeof names[0]);
}

enum { PATH_BYTES = 80 };

static void write_in(const char *folder, const char *name, const char *text, char path_out[PATH_BYTES])
{
    snprintf(path_out, PATH_BYTES, "%s/%s", folder, name);
    FILE *file = fopen(path_out, "w");
    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
}

/* A card's file lies beside the machine's, wherever the program runs; a grid of products comes with the card. */
Test(machine, a_card_may_be_a_file_beside_the_machines)
{
    char folder[] = "/tmp/lspo-machine-XXXXXX", card[PATH_BYTES], path[PATH_BYTES];
    lspo_machine_t machine;
    lspo_machine_notes_t notes;
    cr_assert_not_null(mkdtemp(folder));
    write_in(folder, "card.ini",
             "[card]\nbase = rtx3060\nname = slow\n[gpu]\ngemm_fp16_flops = 5TFLOP/s ; timed\n"
             "[products]\nsizes = 4\nnn_m4_n4 = 0.5\nnt_m4_n4 = 0.5\ntn_m4_n4 = 0.5\n",
             card);
    write_in(folder, "machine.ini",
             "[machine]\nbase = rtx4090\ncard = ./card.ini\nname = mine\n"
             "[link]\nh2d_Bps = 1GB/s ;  a cable  \nd2h_Bps = 1GB/s\n",
             path);
    cr_assert_eq(lspo_machine_find_noted(path, &machine, &notes), LSPO_OK);
    cr_expect_str_eq(machine.name, "mine");
    cr_expect_eq(machine.gpu.gemm_flops[LSPO_FP16], 5e12);
    cr_expect_eq(machine.gpu.memory_bytes, find("rtx3060").gpu.memory_bytes);
    cr_expect_eq(machine.products.size_count, 1u);
    cr_expect_str_eq(notes.text[lspo_machine_field_find("gpu", "gemm_fp16_flops")], "timed");
    cr_expect_str_eq(notes.text[lspo_machine_field_find("gpu", "memory_bytes")], "sheet: NVIDIA GeForce RTX 3060");
    cr_expect_str_eq(notes.text[lspo_machine_field_find("link", "h2d_Bps")], "a cable");
    cr_expect_str_eq(notes.text[lspo_machine_field_find("link", "d2h_Bps")], "");
    cr_expect_str_eq(notes.text[lspo_machine_field_find("cpu", "op_s")], "assumed");
    unlink(card);
    cr_expect_eq(lspo_machine_find(path, &machine), LSPO_ERR_INPUT);
    unlink(path);
    rmdir(folder);
}

/* What a card's file must not hold or lack. */
Test(machine, broken_cards_are_refused_by_their_own_place, .init = cr_redirect_stderr)
{
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"[card]\nname = x\n[gpu]\nmemory_bytes = 1GiB\n", "[gpu] gemm_fp32_flops is missing"},
        {"[card]\nbase = rtx3060\n", "[card] name is missing"},
        {"[card]\nbase = rtx3060\nname = x\n[link]\nh2d_Bps = 1GB/s\n", ":5: [link] h2d_Bps: unknown section"},
        {"[machine]\nbase = rtx4090\nname = x\n", ":2: [machine] base: unknown section"},
        {"[card]\nbase = rtx3060\nname = x\npcie = 6x16\n", ":4: [card] pcie: '6x16' is not a PCIe generation"},
        {"[card]\nbase = rtx3060\nname = x\npcie = 4x12\n", ":4: [card] pcie: '4x12' is not a PCIe generation"},
        {"[card]\nbase = rtx3060\nname = x\npcie = 4x-8\n", ":4: [card] pcie: '4x-8' is not a PCIe generation"},
        {"[card]\nbase = rtx3060\nname = x\nevidence = sheets\n",
         ":4: [card] evidence: 'sheets' is not one of calibrated, published rows"},
        {"[card]\ncard = rtx3060\nname = x\n", ":2: [card] card: unknown key; [card] has base, name, description"},
        {"[card]\nbase = rtx9\nname = x\n", ":2: [card] base: 'rtx9' is not one of `lspo list cards`"},
        {"[card]\nbase = rtx3060\nname = x\n[gpu]\nlaunch_s = 2s\n",
         ":5: [gpu] launch_s: 2.00 s is outside 0 s..1.00 s"},
    };
    char folder[] = "/tmp/lspo-machine-XXXXXX", text[8192] = "", card[PATH_BYTES], path[PATH_BYTES];
    lspo_machine_t machine;
    cr_assert_not_null(mkdtemp(folder));
    write_in(folder, "machine.ini", "[machine]\nbase = rtx4090\ncard = ./card.ini\nname = mine\n", path);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        write_in(folder, "card.ini", bad[i].text, card);
        cr_expect_eq(lspo_machine_find(path, &machine), LSPO_ERR_INPUT, "%s", bad[i].text);
    }
    unlink(card);
    unlink(path);
    rmdir(folder);
    fflush(stderr);
    cr_assert_gt(fread(text, 1, sizeof text - 1, cr_get_redirected_stderr()), 0u);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char expected[256];
        snprintf(expected, sizeof expected, "card.ini%s%s", bad[i].message[0] == ':' ? "" : ": ", bad[i].message);
        cr_expect(strstr(text, expected) != NULL, "'%s' not in: %s", expected, text);
    }
}

Test(machine, malformed_files_are_refused)
{
#define BASE "[machine]\nbase = rtx4090\nname = mine\n"
#define ROWS(row) "nn_" row "nt_" row "tn_" row
    static const char *const bad[] = {
        "",
        "[machine]\nname = mine\n",
        "[machine]\nbase = rtx4090\n",
        "[machine]\nname = mine\nbase = rtx4090\n",
        "[machine]\nbase = rtx9\nname = mine\n",
        BASE "colour = red\n",
        BASE "card = rtx9\n",
        BASE "card = a100\n",
        BASE "host = rtx4090\n",
        BASE "card = /no/such/card.ini\n",
        BASE "card = rtx4090\ncard = rtx4090\n",
        BASE "[link]\nh2d_Bps = 12GB/s\n[machine]\ncard = rtx4090\n",
        "[machine]\ncard = rtx4090\nbase = rtx4090\nname = mine\n",
        "[machine]\ncard = rtx4090\nname = mine\n[link]\nh2d_Bps = 1GB/s\nd2h_Bps = 1GB/s\n",
        "[machine]\ncard = rtx4090\nhost = host-core\nname = mine\n[link]\nh2d_Bps = 1GB/s\n",
        BASE "[gpu]\ncolour = red\n",
        BASE "[disk]\nread_Bps = 1GB/s\n",
        BASE "[link]\nh2d_Bps = 12\n",
        BASE "[link]\nh2d_Bps = 12GB\n",
        BASE "[link]\nh2d_Bps = 0GB/s\n",
        BASE "[link]\nh2d_Bps = 1e30GB/s\n",
        BASE "[link]\nh2d_Bps = 1GB/s\nh2d_Bps = 2GB/s\n",
        BASE "[link]\nh2d_duplex_loss = 1\n",
        BASE "[contention]\ncpu_while_cpu = 0.1\n",
        BASE "[link]\nh2d_Bps\n",
        BASE "[products]\nsizes =\n",
        BASE "[products]\nsizes = 8 4\n" ROWS("m4_n4 = 1 1\n"),
        BASE "[products]\nsizes = 1 2 3 4 5 6 7 8 9\n",
        BASE "[products]\nsizes = 4x\n" ROWS("m4_n4 = 1\n"),
        BASE "[products]\nsizes = nan\n" ROWS("mnan_nnan = 1\n"),
        BASE "[products]\nsizes = 4\n",
        BASE "[products]\n" ROWS("m4_n4 = 1\n") "sizes = 4\n",
        BASE "[products]\nsizes = 4\n" ROWS("m4_n4 = 1 1\n"),
        BASE "[products]\nsizes = 4\n" ROWS("m4_n4 = 0\n"),
        BASE "[products]\nsizes = 4\n" ROWS("m4_n4 = -1\n"),
        BASE "[products]\nsizes = 4\n" ROWS("m4_n4 = 1e9\n"),
        BASE "[products]\nsizes = 4\n" ROWS("m4_n5 = 1\n"),
        BASE "[products]\nsizes = 4\n" ROWS("m4_n4 = 1\n") "nn_m4.0_n4 = 1\n",
        BASE "[products]\nsizes = 4 8\n" ROWS("m4_n4 = 1 1\n") ROWS("m4_n8 = 1 1\n") ROWS("m8_n4 = 1 1\n"),
        BASE "[products]\nsizes = 4\n" ROWS("m4_n4 = 1\n") "colour = 1\n",
        BASE "[products]\nsizes = 4\nm4_n4 = 1\n",
        BASE "[products]\nsizes = 4\nnn_m4_n4 = 1\nnt_m4_n4 = 1\n",
        BASE "[products]\nsizes = 4\n" ROWS("m4_n4 = 1\n") "tt_m4_n4 = 1\n",
        "\x01\x02\xff\xfe",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        lspo_machine_t machine;
        cr_expect_eq(read_text(bad[i], &machine), LSPO_ERR_INPUT, "%s", bad[i]);
    }
    lspo_machine_t machine;
    cr_expect_eq(read_text(BASE "[products]\nsizes = 4\n" ROWS("m4_n4 = 1\n"), &machine), LSPO_OK);
    cr_expect_eq(lspo_machine_find("no-such-machine", &machine), LSPO_ERR_INPUT);
    cr_expect_eq(lspo_machine_find("/tmp", &machine), LSPO_ERR_INPUT);
}

Test(machine, a_refusal_names_file_line_and_key, .init = cr_redirect_stderr)
{
    char path[40], expected[256];
    lspo_machine_t machine;
    write_file(path, "[machine]\nbase = rtx4090\n\n[link]\nh2d_Bps = 12\n");
    lspo_machine_find(path, &machine);
    unlink(path);
    fflush(stderr);
    snprintf(expected, sizeof expected,
             "lspo: error: %s:5: [link] h2d_Bps: '12' is not bytes per second with a unit, such as 12GB/s\n", path);
    cr_assert_stderr_eq_str(expected);
}

Test(machine, overrides)
{
    lspo_machine_t machine = find("rtx4090"), before = machine;
    cr_expect_eq(lspo_machine_set(&machine, "link.h2d_Bps=12GB/s"), LSPO_OK);
    cr_expect_eq(machine.link.h2d_Bps, 12e9);
    cr_expect_eq(lspo_machine_set(&machine, "contention.cpu_while_h2d=0.25"), LSPO_OK);
    cr_expect_eq(machine.contention[LSPO_LANE_CPU][LSPO_LANE_H2D], 0.25);
    machine = before;
    static const char *const bad[] = {
        "",
        "=",
        ".",
        "link",
        "link.h2d_Bps",
        "link=3",
        "link.h2d_Bps=",
        "link.h2d_Bps=12",
        "link.speed=1GB/s",
        "machine.name=x",
        ".h2d_Bps=1GB/s",
        "link.=1GB/s",
        "gpu.backward_loss=1",
        "a-section-name-that-is-longer-than-any.key=1",
        "gpu.a-key-that-is-longer-than-any-other-key-that-there-is-in-the-table-of-fields=1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_expect_eq(lspo_machine_set(&machine, bad[i]), LSPO_ERR_INPUT, "%s", bad[i]);
    }
    for (size_t i = 0; i < lspo_machine_field_count; i++) {
        cr_expect_eq(field_value(&machine, i), field_value(&before, i));
    }
}

Test(machine, values_outside_their_range_are_refused)
{
    lspo_machine_t good = find("rtx4090");
    lspo_machine_t bad[] = {good, good, good, good};
    bad[0].gpu.memory_bytes = 0.0;
    bad[1].link.h2d_duplex_loss = 1.0;
    bad[2].cpu.adam_pps = -1.0;
    bad[3].gpu.launch_s = NAN;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_expect_eq(lspo_machine_check(&bad[i]), LSPO_ERR_INPUT, "case %zu", i);
    }
}

static double share(const lspo_products_t *grid, double m, double n, double k)
{
    return lspo_products_share(grid, LSPO_LAYOUT_NN, m, n, k);
}

/* 2 x 2 x 2 over sizes 16 and 64 of X W, and one of another layout: 1/8 where all are 16, 1/2 for k = 64, 1/4 for
 * n = 64, 1 where m = 64.
 *     at the points: themselves;  below 16 and above 64: the nearest point
 *     m = n = 16, k = 32, the middle of 16 and 64 on a log scale: sqrt(1/8 1/2) = 1/4
 *     m = k = 16, n = 32: sqrt(1/8 1/4) = 2^-2.5;   m = 32, n = k = 16: sqrt(1/8) = 2^-1.5 */
Test(machine, products_are_interpolated_between_their_shapes)
{
    lspo_products_t grid = {
        .size_count = 2, .sizes = {16, 64}, .share = {{{{0.125, 0.5}, {0.25, 0.5}}, {{1, 1}, {1, 1}}}, {{{0.75}}}}};
    cr_expect_float_eq(share(&grid, 16, 16, 16), 0.125, 1e-12);
    cr_expect_float_eq(share(&grid, 16, 16, 64), 0.5, 1e-12);
    cr_expect_float_eq(share(&grid, 1, 2, 3), 0.125, 1e-12);
    cr_expect_float_eq(share(&grid, 1000, 2, 3000), 1, 1e-12);
    cr_expect_float_eq(share(&grid, 16, 16, 32), 0.25, 1e-12);
    cr_expect_float_eq(share(&grid, 16, 32, 16), exp2(-2.5), 1e-12);
    cr_expect_float_eq(share(&grid, 32, 16, 16), exp2(-1.5), 1e-12);
    cr_expect_eq(lspo_products_share(&grid, LSPO_LAYOUT_NT, 16, 16, 16), 0.75);
    grid.size_count = 1;
    cr_expect_float_eq(share(&grid, 7, 700, 70), 0.125, 1e-12);
}

/* A note is for people: the values read back as without it, and a note too long for the reader's lines is cut. */
Test(machine, notes_behind_values_are_comments)
{
    lspo_machine_t machine = find("rtx4090"), again;
    const char *notes[LSPO_MACHINE_FIELDS_MAX] = {NULL};
    char path[40], text[300], line[200];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    notes[0] = "+- 0.8 %, 12 samples";
    notes[3] = text;
    write_file(path, "");
    FILE *file = fopen(path, "w");
    cr_assert_eq(lspo_machine_write(&machine, NULL, notes, file), LSPO_OK);
    fclose(file);
    cr_assert_eq(lspo_machine_find(path, &again), LSPO_OK);
    for (size_t i = 0; i < lspo_machine_field_count; i++)
        cr_expect_eq(field_value(&again, i), field_value(&machine, i), "%s", lspo_machine_fields[i].key);
    bool found = false;
    file = fopen(path, "r");
    while (fgets(line, sizeof line, file) != NULL)
        found |= strcmp(line, "memory_bytes = 24 GiB ; +- 0.8 %, 12 samples\n") == 0;
    fclose(file);
    unlink(path);
    cr_expect(found);
}

/* Every part changes what it names and nothing else; a field is named by section.key below. */
Test(machine, ablations_take_one_part_out)
{
    static const struct {
        const char *part, *zeroed[12];
    } cases[] = {
        {"contention",
         {"contention.gpu_while_d2h", "contention.cpu_while_gpu", "contention.h2d_while_cpu",
          "contention.gpu_while_h2d", "contention.gpu_while_cpu", "contention.d2h_while_gpu",
          "contention.d2h_while_cpu", "contention.h2d_while_gpu", "contention.cpu_while_d2h",
          "contention.cpu_while_h2d", "link.h2d_duplex_loss", "link.d2h_duplex_loss"}},
        {"shapes",
         {"gpu.gemm_m_half", "gpu.gemm_n_half", "gpu.gemm_k_half", "gpu.attention_sequence_half",
          "gpu.attention_width_half"}},
        {"latency",
         {"gpu.launch_s", "gpu.op_s", "cpu.op_s", "cpu.wake_s", "link.h2d_latency_s", "link.d2h_latency_s",
          "net.latency_s", "ssd.latency_s"}},
        {"cache", {"gpu.cache_bytes", "gpu.kept_bytes", "cpu.cache_bytes"}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        lspo_machine_t machine = find("rtx4090"), before;
        for (size_t i = 0; i < lspo_machine_field_count; i++) { /* nothing is 0 before */
            const lspo_machine_field_t *field = &lspo_machine_fields[i];
            double value = fmax(field->low, fmin(0.5 * field->high, 0.5));
            memcpy((char *)&machine + field->offset_bytes, &value, sizeof value);
        }
        machine.products = (lspo_products_t){.size_count = 1, .sizes = {4}, .share = {{{{0.5}}}}};
        before = machine;
        cr_assert_eq(lspo_machine_ablate(&machine, cases[c].part), LSPO_OK);
        for (size_t i = 0; i < lspo_machine_field_count; i++) {
            char name[64];
            bool zeroed = false;
            snprintf(name, sizeof name, "%s.%s", lspo_machine_fields[i].section, lspo_machine_fields[i].key);
            for (size_t z = 0; z < 12 && cases[c].zeroed[z] != NULL; z++)
                zeroed |= strcmp(name, cases[c].zeroed[z]) == 0;
            cr_expect_eq(field_value(&machine, i), zeroed ? 0.0 : field_value(&before, i), "%s: %s", cases[c].part,
                         name);
        }
        cr_expect_eq(machine.products.size_count, strcmp(cases[c].part, "shapes") == 0 ? 0u : 1u);
    }
    lspo_machine_t machine = find("rtx4090");
    cr_expect_eq(lspo_machine_ablate(&machine, "colour"), LSPO_ERR_INPUT);
}

/* D2H paced to a quarter and CPU to a tenth of their speed; H2D (8 GB/s) is paced to a half.
 * GPU while D2H runs: loses 0.4 x 1/4 = 0.1.  GPU while CPU runs: 0.5 x 1/10 = 0.05.
 * CPU while GPU runs: its rate falls to 0.6 of full speed, still above a tenth: loses nothing.
 * H2D while D2H runs: 0.8 x 1/4 = 0.2 lost of full speed leaves 0.8, above its pace of 0.5: nothing.
 * H2D while GPU runs: 0.6 lost leaves 0.4, below 0.5: it loses 1 - 0.4/0.5 = 0.2. */
Test(machine, a_pace_scales_what_lanes_cost_each_other)
{
    lspo_machine_t m;
    cr_assert_eq(lspo_machine_find("host-reference", &m), LSPO_OK);
    m.link.d2h_Bps = 16e9;
    m.link.h2d_Bps = 8e9;
    m.cpu.adam_pps = 1e9;
    m.link.h2d_duplex_loss = 0.8;
    m.contention[LSPO_LANE_GPU][LSPO_LANE_D2H] = 0.4;
    m.contention[LSPO_LANE_GPU][LSPO_LANE_CPU] = 0.5;
    m.contention[LSPO_LANE_CPU][LSPO_LANE_GPU] = 0.4;
    m.contention[LSPO_LANE_H2D][LSPO_LANE_GPU] = 0.6;
    lspo_machine_pace(&m, 4e9, 1e8);
    cr_expect_float_eq(m.contention[LSPO_LANE_GPU][LSPO_LANE_D2H], 0.1, 1e-12);
    cr_expect_float_eq(m.contention[LSPO_LANE_GPU][LSPO_LANE_CPU], 0.05, 1e-12);
    cr_expect_float_eq(m.contention[LSPO_LANE_CPU][LSPO_LANE_GPU], 0.0, 1e-12);
    cr_expect_float_eq(m.link.h2d_duplex_loss, 0.0, 1e-12);
    cr_expect_float_eq(m.contention[LSPO_LANE_H2D][LSPO_LANE_GPU], 0.2, 1e-12);
    cr_expect_float_eq(m.link.h2d_Bps, 4e9, 1e-3);
    cr_expect_float_eq(m.cpu.adam_cached_pps, 1e8, 1e-3);
    cr_expect_float_eq(m.cpu.own_adam_pps, 1e9, 1e-3);
}

Test(machine, a_pace_above_the_machine_replaces_its_rate_only)
{
    lspo_machine_t m;
    cr_assert_eq(lspo_machine_find("rtx4090", &m), LSPO_OK);
    double loss = m.link.h2d_duplex_loss;
    lspo_machine_pace(&m, 64e9, 0.0);
    cr_expect_float_eq(m.link.h2d_Bps, 64e9, 1e-3);
    cr_expect_float_eq(m.link.h2d_duplex_loss, loss, 0.0);
}

/* Text without control characters, at whose ends a reader strips blanks and in which " ;" begins a comment. */
static void draw_text(uint64_t *state, char *text, size_t length)
{
    static const char usual[] = "ab =:#[]\"'\\,.%\xc3\xa9\xff;~";
    for (size_t i = 0; i < length; i++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        unsigned drawn = (unsigned)(*state >> 33);
        text[i] = drawn % 8 == 0 ? (char)(1 + drawn / 8 % 255) : usual[drawn / 8 % (sizeof usual - 1)];
    }
    text[length] = '\0';
}

static void write_machine(const lspo_machine_t *machine, char *path)
{
    int descriptor = mkstemp(path);
    FILE *file = fdopen(descriptor, "w");
    cr_assert_not_null(file);
    cr_assert_eq(lspo_machine_write(machine, NULL, NULL, file), LSPO_OK);
    fclose(file);
}

/* Whatever a name holds: what is written is read back, and what was read is written and read unchanged. */
Test(machine, every_text_that_is_written_is_read_back)
{
    uint64_t state = 1;
    for (int i = 0; i < 3000; i++) {
        lspo_machine_t machine = find("rtx4090"), once, twice;
        draw_text(&state, machine.name + 1, (size_t)(state >> 40) % (sizeof machine.name - 2));
        draw_text(&state, machine.description, (size_t)(state >> 40) % 100);
        machine.name[0] = 'n';
        char first[] = "/tmp/lspo-machine-XXXXXX", second[] = "/tmp/lspo-machine-XXXXXX";
        write_machine(&machine, first);
        cr_assert_eq(lspo_machine_find(first, &once), LSPO_OK, "name '%s'", machine.name);
        write_machine(&once, second);
        cr_assert_eq(lspo_machine_find(second, &twice), LSPO_OK, "name '%s'", once.name);
        cr_expect_str_eq(twice.name, once.name);
        cr_expect_str_eq(twice.description, once.description);
        unlink(first);
        unlink(second);
    }
}

Test(machine, a_name_of_control_characters_is_refused)
{
    lspo_machine_t machine;
    cr_expect_eq(read_text("[machine]\nbase = rtx4090\nname = \001\002\n", &machine), LSPO_ERR_INPUT);
    cr_expect_eq(read_text("[machine]\nbase = rtx4090\nname = a\033[2J\n", &machine), LSPO_ERR_INPUT);
    cr_expect_eq(read_text("[machine]\nbase = rtx4090\nname = a;b # c\n", &machine), LSPO_OK);
    cr_expect_str_eq(machine.name, "a;b # c");
}
