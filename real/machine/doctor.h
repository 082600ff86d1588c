/* doctor.h - what about this machine would make runs faster, or measurements quieter. */
#ifndef LSPO_REAL_MACHINE_DOCTOR_H
#define LSPO_REAL_MACHINE_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { LSPO_FINDING_GOOD, LSPO_FINDING_NOTE, LSPO_FINDING_BAD, LSPO_FINDING_UNKNOWN } lspo_finding_verdict_t;

typedef struct {
    const char *subject; /* static: "other programs", "CPU quota" */
    lspo_finding_verdict_t verdict;
    char found[256];
    const char *advice; /* static; "": nothing to do */
} lspo_finding_t;

enum { LSPO_FINDINGS_MAX = 64 };

/* Findings in a list that the caller owns; further ones than LSPO_FINDINGS_MAX are dropped. */
typedef struct {
    lspo_finding_t list[LSPO_FINDINGS_MAX];
    size_t count;
} lspo_findings_t;

/* Append one, with what was found as in printf(). */
void lspo_findings_add(lspo_findings_t *findings, const char *subject, lspo_finding_verdict_t verdict,
                       const char *advice, const char *format, ...) __attribute__((format(printf, 5, 6)));

/* "good", "note", "bad", "unknown". */
const char *lspo_finding_verdict_name(lspo_finding_verdict_t verdict);

/* Processors, other programs' load over `wait_s` seconds, memory, limits of the process, counters.  `root`: "" or,
 * for tests, a folder that stands for "/". */
void lspo_doctor_host(const char *root, double wait_s, lspo_findings_t *findings);

/* The NVIDIA GPUs on the PCI bus, whether lspo can use them or not; returns their number.  `can_use`: lspo found
 * some. */
size_t lspo_doctor_cards(const char *root, bool can_use, lspo_findings_t *findings);

/* The link of the card at a PCI address, as it is now.  `loaded`: copies are under way; idle cards slow it down.
 * `subject` is static. */
void lspo_doctor_link(const char *root, const char *subject, const char *address, bool loaded,
                      lspo_findings_t *findings);

#endif
