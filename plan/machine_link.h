/* machine_link.h - the link of a card in a host, for machines without a file of their own.
 *
 * The rates are those that others measured with pinned memory on 16 lanes; of fewer lanes they are the same fraction.
 * A link runs at the smaller generation and lane count of the two: rate = rate(min generation) x min lanes / 16.
 * The duplex losses are those of the same measurements (plan/machine.h).  Not modelled: switches, shared lanes, and
 * hosts that reach less; a profile from `lspo calibrate`, or [link] in a machine's file, replaces these numbers.
 */
#ifndef LSPO_PLAN_MACHINE_LINK_H
#define LSPO_PLAN_MACHINE_LINK_H

#include <stddef.h>

#include "base/status.h"
#include "plan/machine.h"

typedef struct {
    double generation, lanes; /* 0: unknown, or no PCIe */
} lspo_pcie_t;

/* Parse "GENERATIONxLANES" ("4x16") into machine->link.pcie_generation and pcie_lanes.  LSPO_ERR_INPUT for other texts,
 * and for generations without a measured rate. */
lspo_status_t lspo_machine_link_parse(const char *what, const char *text, lspo_machine_t *machine);

/* Sets [link] of the machine for a card in a host, both known.  set_note is called with the field and its source for
 * each value. */
void lspo_machine_link_set(lspo_pcie_t card, lspo_pcie_t host, lspo_machine_t *machine,
                           void (*set_note)(void *context, size_t field, const char *note), void *context);

#endif
