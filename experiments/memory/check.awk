FNR == 1 {
    csv_header($0)
    printf "  %-10s %-16s %-5s %s %4s %9s %9s %9s %7s %9s %9s %7s\n", "model", "policy", "ckpt", "acc", "clip",
        "GPU MB", "at most", "measured", "error", "total MB", "measured", "error"
    next
}
{
    csv_row($0)
    cells++
    printf "  %-10s %-16s %-5s %3d %4s %9.2f %9.2f %9.2f %6.2f%% %9.2f %9.2f %6.2f%%\n", get("model"), get("policy"), \
        get("checkpointing"), get("accumulation"), get("clip_norm") == "" ? "-" : get("clip_norm"), \
        get("peak_gpu_bytes") / 1e6, get("peak_gpu_bound_bytes") / 1e6, get("measured_peak_gpu_bytes") / 1e6, \
        100 * get("peak_gpu_error"), get("peak_total_bytes") / 1e6, get("measured_peak_total_bytes") / 1e6, \
        100 * get("peak_total_error")
    total = abs(get("peak_total_error"))
    sum += total
    worst = max(worst, total)
    total_within += total <= 0.02
    gpu_within += abs(get("peak_gpu_error")) <= 0.02
    below += get("measured_peak_gpu_bytes") <= get("peak_gpu_bound_bytes")
    margin += get("peak_gpu_bound_bytes") / get("peak_gpu_bytes") - 1
}
END {
    if (aborted) exit 2
    require(cells > 0 && total_within >= 0.95 * cells,
        sprintf("what the process takes is predicted within 2 %% in %d of %d", total_within, cells))
    require(cells > 0 && worst <= 0.04 && sum <= 0.01 * cells,
        sprintf("on average within 1 %% (%.2f), nowhere beyond 4 %% (%.2f)",
            cells ? 100 * sum / cells : 0, 100 * worst))
    require(cells > 0 && gpu_within >= 0.9 * cells,
        sprintf("what the device takes within 2 %% in %d of %d", gpu_within, cells))
    require(cells > 0 && below >= 0.95 * cells,
        sprintf("it is at most its bound in %d of %d; the bound is on average %.1f %% above the prediction",
            below, cells, cells ? 100 * margin / cells : 0))
    finish()
}
