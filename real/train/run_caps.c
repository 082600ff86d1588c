/* run_caps.c - the caps of a device in the header of a trace; see run.h. */
#include "base/units.h"
#include "real/train/run.h"

static lspo_status_t put_quantity(lspo_trace_t *trace, const char *key, double value, lspo_unit_t unit)
{
    char text[64];
    if (!(value > 0))
        return LSPO_OK;
    return lspo_trace_set_meta(trace, key, lspo_format_quantity(value, unit, text, sizeof text));
}

lspo_status_t lspo_run_describe_caps(const lspo_device_caps_t *caps, lspo_trace_t *trace)
{
    const struct {
        const char *key;
        double value;
        lspo_unit_t unit;
    } entries[] = {{"cap.memory", (double)caps->memory_bytes, LSPO_UNIT_BYTES},
                   {"cap.h2d", caps->h2d_Bps, LSPO_UNIT_BPS},
                   {"cap.d2h", caps->d2h_Bps, LSPO_UNIT_BPS},
                   {"cap.h2d_latency", caps->h2d_latency_s, LSPO_UNIT_SECONDS},
                   {"cap.d2h_latency", caps->d2h_latency_s, LSPO_UNIT_SECONDS},
                   {"cap.h2d_duplex_loss", caps->h2d_duplex_loss, LSPO_UNIT_NONE},
                   {"cap.d2h_duplex_loss", caps->d2h_duplex_loss, LSPO_UNIT_NONE},
                   {"cap.net", caps->net_Bps, LSPO_UNIT_BPS},
                   {"cap.net_latency", caps->net_latency_s, LSPO_UNIT_SECONDS},
                   {"cap.cpu", caps->cpu_pps, LSPO_UNIT_PPS},
                   {"cap.sms", caps->sms, LSPO_UNIT_NONE}};
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        lspo_status_t status = put_quantity(trace, entries[i].key, entries[i].value, entries[i].unit);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}
