/* sms_cuda.c - limit the number of multiprocessors by a green context of the driver, so that a large card can stand in
 * for a smaller one. */
#if LSPO_HAVE_CUDA
#include <cuda.h>
#include <inttypes.h>
#include <stdbool.h>

#include "real/device/driver_cuda.h"
#include "real/device/sms_cuda.h"

enum { NEEDED_VERSION = 12050 };

typedef struct {
    CUresult (*device_get)(CUdevice *device, int ordinal);
    CUresult (*get_resource)(CUdevice device, CUdevResource *resource, CUdevResourceType type);
    CUresult (*split)(CUdevResource *result, unsigned *groups, const CUdevResource *input, CUdevResource *rest,
                      unsigned flags, unsigned least_count);
    CUresult (*describe)(CUdevResourceDesc *description, CUdevResource *resources, unsigned count);
    CUresult (*create)(CUgreenCtx *context, CUdevResourceDesc description, CUdevice device, unsigned flags);
    CUresult (*destroy)(CUgreenCtx context);
    CUresult (*create_stream)(CUstream *stream, CUgreenCtx context, unsigned flags, int priority);
} driver_t;

static bool find(const char *name, void *function_out)
{
    return lspo_driver_find(name, NEEDED_VERSION, function_out);
}

static bool find_all(driver_t *driver)
{
    return find("cuDeviceGet", &driver->device_get) && find("cuDeviceGetDevResource", &driver->get_resource) &&
           find("cuDevSmResourceSplitByCount", &driver->split) &&
           find("cuDevResourceGenerateDesc", &driver->describe) && find("cuGreenCtxCreate", &driver->create) &&
           find("cuGreenCtxDestroy", &driver->destroy) && find("cuGreenCtxStreamCreate", &driver->create_stream);
}

static lspo_status_t refused(uint32_t count, const char *what, CUresult result)
{
    return lspo_error(LSPO_ERR_DEVICE, "--sms %" PRIu32 ": %s (CUDA driver error %d)", count, what, (int)result);
}

/* The driver rounds up to a multiple that depends on the GPU, and fails if that is more than there are. */
static bool is_rounded_to_all(const driver_t *driver, const CUdevResource *all, uint32_t count)
{
    CUdevResource least;
    unsigned groups = 1;
    if (driver->split(&least, &groups, all, NULL, 0, 1) != CUDA_SUCCESS || groups == 0 || least.sm.smCount == 0)
        return false;
    return count > all->sm.smCount / least.sm.smCount * least.sm.smCount;
}

static lspo_status_t make_context(const driver_t *driver, CUdevice device, CUdevResource some, uint32_t count,
                                  int priority, lspo_sms_t *sms_out)
{
    CUdevResourceDesc description;
    CUgreenCtx context;
    CUstream stream;
    CUresult result = driver->describe(&description, &some, 1);
    if (result == CUDA_SUCCESS)
        result = driver->create(&context, description, device, CU_GREEN_CTX_DEFAULT_STREAM);
    if (result != CUDA_SUCCESS)
        return refused(count, "cannot reserve so many multiprocessors", result);
    result = driver->create_stream(&stream, context, CU_STREAM_NON_BLOCKING, priority);
    if (result != CUDA_SUCCESS) {
        driver->destroy(context);
        return refused(count, "cannot create a stream on part of the GPU", result);
    }
    *sms_out = (lspo_sms_t){.context = context, .stream = stream, .count = some.sm.smCount};
    return LSPO_OK;
}

lspo_status_t lspo_sms_open(int number, uint32_t count, int priority, lspo_sms_t *sms_out)
{
    driver_t driver;
    CUdevice device;
    CUdevResource all, some;
    unsigned groups = 1;
    if (!find_all(&driver))
        return lspo_error(LSPO_ERR_DEVICE,
                          "--sms %" PRIu32 ": this driver has no green contexts; CUDA 12.5 or newer is needed", count);
    CUresult result = driver.device_get(&device, number);
    if (result == CUDA_SUCCESS)
        result = driver.get_resource(device, &all, CU_DEV_RESOURCE_TYPE_SM);
    if (result != CUDA_SUCCESS)
        return refused(count, "cannot query the multiprocessors of the GPU", result);
    if (count > all.sm.smCount)
        return lspo_error(LSPO_ERR_INPUT, "--sms %" PRIu32 ": the GPU has %u multiprocessors", count, all.sm.smCount);
    result = driver.split(&some, &groups, &all, NULL, 0, count);
    bool is_split = result == CUDA_SUCCESS && groups > 0;
    if (count == all.sm.smCount || (!is_split && is_rounded_to_all(&driver, &all, count))) {
        *sms_out = (lspo_sms_t){.count = all.sm.smCount};
        return LSPO_OK;
    }
    if (result != CUDA_SUCCESS)
        return refused(count, "cannot reserve so many multiprocessors", result);
    if (!is_split)
        return lspo_error(LSPO_ERR_DEVICE, "--sms %" PRIu32 ": the driver makes no group of so many multiprocessors",
                          count);
    return make_context(&driver, device, some, count, priority, sms_out);
}

void lspo_sms_close(const lspo_sms_t *sms)
{
    CUresult (*destroy)(CUgreenCtx context);
    if (sms->context && find("cuGreenCtxDestroy", &destroy))
        destroy(sms->context);
}
#endif
