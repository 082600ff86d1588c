/* savers.h - what fits in a machine's memory only with fewer bits: the options of policies that keep optimizer state or
 * frozen weights in a smaller format. */
#ifndef LSPO_SIM_SAVERS_H
#define LSPO_SIM_SAVERS_H

#include "plan/parameter.h"
#include "sim/choose.h"

typedef struct {
    const lspo_parameter_t *parameter; /* a NAMED one of some policies, and */
    uint32_t value;                    /* the index of the word that saves memory */
    const char *what;                  /* "Adam's m and v in 8 bits" */
} lspo_saver_t;

/* NULL after the last; index from 0. */
const lspo_saver_t *lspo_saver_at(uint32_t index);

/* The best choice with the option among the policies that have it, as lspo_choose() orders them, into *choice_out;
 * its policy is NULL if none of them fits. */
lspo_status_t lspo_choose_with_saver(const lspo_choose_options_t *options, const lspo_saver_t *saver,
                                     lspo_choice_t *choice_out);

#endif
