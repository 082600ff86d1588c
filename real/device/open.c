/* open.c - open a device by its name: "host", "cuda" or "cuda:N". */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/names.h"
#include "kernels/blas.h"
#include "real/device/device_state.h"

static lspo_status_t check_caps(const lspo_device_caps_t *caps)
{
    const double positive[] = {caps->h2d_Bps, caps->d2h_Bps, caps->h2d_latency_s, caps->d2h_latency_s, caps->cpu_pps};
    for (size_t i = 0; i < sizeof positive / sizeof positive[0]; i++)
        if (!(positive[i] >= 0 && positive[i] < 1e18))
            return lspo_error(LSPO_ERR_INPUT, "a cap of the device is %g; it must be at least 0 and below 1e18",
                              positive[i]);
    const double loss[] = {caps->h2d_duplex_loss, caps->d2h_duplex_loss};
    for (size_t i = 0; i < 2; i++)
        if (!(loss[i] >= 0 && loss[i] <= 0.99))
            return lspo_error(LSPO_ERR_INPUT, "a duplex loss of the link is %g; allowed is 0 to 0.99", loss[i]);
    return LSPO_OK;
}

static const char *const device_names[] = {"host", "cuda", "cuda:N"};

/* "cuda" or "cuda:N". */
static bool is_cuda(const char *name, uint32_t *number_out)
{
    if (strncmp(name, "cuda", 4) != 0)
        return false;
    const char *digits = name + 5;
    size_t length = name[4] == ':' ? strlen(digits) : 0;
    if (name[4] == '\0')
        digits = "0";
    else if (length < 1 || length > 4 || strspn(digits, "0123456789") != length)
        return false;
    *number_out = (uint32_t)strtoul(digits, NULL, 10);
    return true;
}

lspo_status_t lspo_device_open(const char *name, const lspo_device_caps_t *caps, lspo_device_t **device_out)
{
    uint32_t number = 0;
    bool cuda = is_cuda(name, &number);
    if (!cuda && strcmp(name, "host") != 0)
        return lspo_name_refuse("device", name, device_names, sizeof device_names / sizeof device_names[0], NULL);
    lspo_status_t status = check_caps(caps);
    if (status != LSPO_OK)
        return status;
    const char *no_blas = lspo_blas_open();
    if (no_blas)
        return lspo_error(lspo_blas_lacks_memory() ? LSPO_ERR_MEMORY : LSPO_ERR_DEVICE,
                          "device '%s' needs OpenBLAS: %s", name, no_blas);
    if (!cuda && caps->sms)
        return lspo_error(LSPO_ERR_INPUT, "device '%s' has no multiprocessors; --sms %" PRIu32 " needs --device cuda",
                          name, caps->sms);
    return cuda ? lspo_device_open_cuda(name, number, caps, device_out) : lspo_device_open_host(caps, device_out);
}
