/* caps.h - the overrides of a request as caps of a device, which make it slower or smaller. */
#ifndef LSPO_CLI_CAPS_H
#define LSPO_CLI_CAPS_H

#include "ask/request.h"
#include "base/status.h"
#include "real/device/device.h"

/* LSPO_ERR_INPUT for a --set that cannot be imposed on a device (a GEMM rate). */
lspo_status_t lspo_overrides_caps(const lspo_overrides_t *overrides, lspo_device_caps_t *caps);
/* These caps, and those that only a device has. */
lspo_status_t lspo_request_caps(const lspo_request_t *request, lspo_device_caps_t *caps);

#endif
