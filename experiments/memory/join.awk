# predicted.csv measured.csv: one row per cell with both peaks and their errors.
FNR == 1 { csv_header($0); file++; next }
{ csv_row($0); cell = get("cell") }
file == 1 {
    gpu[cell] = get("peak_gpu_bytes"); bound[cell] = get("peak_gpu_bound_bytes"); total[cell] = get("peak_total_bytes")
    next
}
FNR == 2 {
    print "model,policy,checkpointing,accumulation,clip_norm,predicted_gpu_bytes,measured_gpu_bytes,gpu_error," \
        "predicted_total_bytes,measured_total_bytes,total_error,bound_gpu_bytes"
}
{
    printf "%s,%s,%s,%d,%s,%d,%d,%.5f,%d,%d,%.5f,%d\n", get("model"), get("policy"), get("checkpointing"), \
        get("accumulation"), get("clip_norm"), gpu[cell], get("peak_gpu_bytes"), \
        gpu[cell] / get("peak_gpu_bytes") - 1, total[cell], get("peak_total_bytes"), \
        total[cell] / get("peak_total_bytes") - 1, bound[cell]
}
