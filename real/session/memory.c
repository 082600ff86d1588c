/* memory.c - device memory and host memory of a session, and conversions between the two. */
#include <stdlib.h>
#include <string.h>

#include "kernels/pack.h"
#include "real/session/state.h"

lspo_status_t lspo_session_take(lspo_session_t *session, size_t bytes, void **slot)
{
    return lspo_device_alloc(session->device, bytes, slot);
}

void lspo_session_give_back(lspo_session_t *session, void **slot)
{
    lspo_device_free(session->device, *slot);
    *slot = NULL;
}

lspo_status_t lspo_session_take_gradient(lspo_session_t *session, const lspo_op_t *op, uint32_t s)
{
    lspo_session_stage_t *stage = &session->stages[s];
    uint32_t parity = lspo_session_parity(session, op);
    if (stage->gradient_count == 0)
        return LSPO_OK;
    lspo_status_t status =
        lspo_session_take(session, stage->gradient_count * session->number_bytes, &stage->gradient[parity]);
    if (status != LSPO_OK)
        return status;
    if (stage->packed_bytes > 0)
        status = lspo_session_take(session, stage->packed_bytes, &stage->packed[parity]);
    return status;
}

lspo_status_t lspo_session_take_for_host(lspo_session_t *session, size_t bytes, void **slot)
{
    if (!session->asynchronous)
        return lspo_session_take(session, bytes, slot);
    void *memory = malloc(bytes > 0 ? bytes : 1);
    if (!memory)
        return lspo_no_memory("%zu bytes", bytes);
    *slot = memory;
    return LSPO_OK;
}

void lspo_session_give_back_for_host(lspo_session_t *session, void **slot)
{
    if (!session->asynchronous) {
        lspo_session_give_back(session, slot);
        return;
    }
    free(*slot);
    *slot = NULL;
}

void lspo_session_pack_numbers(lspo_number_t number, size_t n, const float *from, void *to)
{
    switch (number) {
    case LSPO_NUMBER_FP32:
        if (to != from)
            memcpy(to, from, n * sizeof *from);
        break;
    case LSPO_NUMBER_BF16:
        lspo_pack_bf16(n, from, to);
        break;
    case LSPO_NUMBER_FP16:
        lspo_pack_fp16(n, from, to);
        break;
    }
}

void lspo_session_unpack_numbers(lspo_number_t number, size_t n, const void *from, float *to)
{
    switch (number) {
    case LSPO_NUMBER_FP32:
        if (to != from)
            memcpy(to, from, n * sizeof *to);
        break;
    case LSPO_NUMBER_BF16:
        lspo_unpack_bf16(n, from, to);
        break;
    case LSPO_NUMBER_FP16:
        lspo_unpack_fp16(n, from, to);
        break;
    }
}

lspo_status_t lspo_session_write_numbers(lspo_session_t *session, size_t n, const float *from, void *to)
{
    if (to == from)
        return LSPO_OK;
    if (session->number == LSPO_NUMBER_FP32)
        return lspo_device_write(session->device, to, from, n * sizeof *from);
    uint16_t *packed = malloc((n + 1) * sizeof *packed);
    if (!packed)
        return lspo_no_memory("%zu numbers on their way to the device", n);
    lspo_session_pack_numbers(session->number, n, from, packed);
    lspo_status_t status = lspo_device_write(session->device, to, packed, n * sizeof *packed);
    free(packed);
    return status;
}

lspo_status_t lspo_session_read_numbers(lspo_session_t *session, size_t n, const void *from, float *to)
{
    if (session->number == LSPO_NUMBER_FP32)
        return lspo_device_read(session->device, to, from, n * sizeof *to);
    uint16_t *packed = malloc((n + 1) * sizeof *packed);
    if (!packed)
        return lspo_no_memory("%zu numbers on their way from the device", n);
    lspo_status_t status = lspo_device_read(session->device, packed, from, n * sizeof *packed);
    if (status != LSPO_OK)
        goto cleanup;
    lspo_session_unpack_numbers(session->number, n, packed, to);
cleanup:
    free(packed);
    return status;
}
