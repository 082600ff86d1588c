/* machine_link.c - see machine_link.h. */
#include "plan/machine_link.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { LANES_MEASURED = 16 };

static const struct {
    unsigned generation;
    double h2d_Bps, d2h_Bps; /* 16 lanes */
    double h2d_duplex_loss, d2h_duplex_loss;
    const char *rate_source, *loss_source;
} measured[] = {
    {3, 12.5e9, 12.8e9, 0.27, 0.04, "12-13 GB/s on Gen3 x16 (CUDA C++ Best Practices Guide; V100)",
     "as Gen4: nvbandwidth's README, issue 53"},
    {4, 25e9, 25e9, 0.27, 0.04, "A100 on Gen4 x16, nvbandwidth issues 11 and 53", "nvbandwidth's README, issue 53"},
    {5, 56.3e9, 57.3e9, 0.1, 0.04, "RTX 5090 on Gen5 x16, NVIDIA open-gpu-kernel-modules issue 29",
     "open-gpu-kernel-modules issue 29; D2H as Gen4"},
};
enum { MEASURED_COUNT = sizeof measured / sizeof measured[0] };

static size_t row_of(double generation)
{
    size_t row = 0;
    while (row < MEASURED_COUNT && generation != measured[row].generation)
        row++;
    return row;
}

lspo_status_t lspo_machine_link_parse(const char *what, const char *text, lspo_machine_t *machine)
{
    unsigned generation = 0, lanes = 0;
    int used = 0;
    bool read = strspn(text, "0123456789x") == strlen(text) && strlen(text) <= 5 &&
                sscanf(text, "%ux%u%n", &generation, &lanes, &used) == 2 && text[used] == '\0';
    bool known =
        row_of(generation) < MEASURED_COUNT && lanes > 0 && lanes <= LANES_MEASURED && (lanes & (lanes - 1)) == 0;
    if (!read || !known) {
        return lspo_error(LSPO_ERR_INPUT,
                          "%s: '%s' is not a PCIe generation (3, 4, 5) and a number of lanes (1, 2, 4, 8, 16), such as "
                          "4x16",
                          what, text);
    }
    machine->link.pcie_generation = generation;
    machine->link.pcie_lanes = lanes;
    return LSPO_OK;
}

void lspo_machine_link_set(lspo_pcie_t card, lspo_pcie_t host, lspo_machine_t *machine,
                           void (*set_note)(void *context, size_t field, const char *note), void *context)
{
    double generation = fmin(card.generation, host.generation);
    double lanes = fmin(card.lanes, host.lanes);
    size_t row = row_of(generation);
    char rate[LSPO_NOTE_BYTES], loss[LSPO_NOTE_BYTES];
    const char *latency = "assumed: submitting one copy takes 5-7 us, arXiv 2602.21548";
    const char *smaller = "the smaller of the card's and the host's";
    snprintf(rate, sizeof rate, "%smeasured by others: %s", lanes < LANES_MEASURED ? "fewer lanes; " : "",
             measured[row].rate_source);
    snprintf(loss, sizeof loss, "measured by others: %s", measured[row].loss_source);
    const struct {
        const char *key, *note;
        double *slot, value;
    } values[] = {
        {"h2d_Bps", rate, &machine->link.h2d_Bps, measured[row].h2d_Bps * lanes / LANES_MEASURED},
        {"d2h_Bps", rate, &machine->link.d2h_Bps, measured[row].d2h_Bps * lanes / LANES_MEASURED},
        {"h2d_latency_s", latency, &machine->link.h2d_latency_s, 10e-6},
        {"d2h_latency_s", latency, &machine->link.d2h_latency_s, 10e-6},
        {"h2d_duplex_loss", loss, &machine->link.h2d_duplex_loss, measured[row].h2d_duplex_loss},
        {"d2h_duplex_loss", loss, &machine->link.d2h_duplex_loss, measured[row].d2h_duplex_loss},
        {"pcie_generation", smaller, &machine->link.pcie_generation, generation},
        {"pcie_lanes", smaller, &machine->link.pcie_lanes, lanes},
    };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        *values[i].slot = values[i].value;
        set_note(context, lspo_machine_field_find("link", values[i].key), values[i].note);
    }
}
