# Link and optimizer rates at which this cell's gradients take the wanted share of its GPU time.
FNR == 1 { csv_header($0); next }
{
    csv_row($0)
    gpu = get("gpu_busy_s")
    bytes = max(get("d2h_bytes"), get("h2d_bytes"))
    printf "%.0f %.0f\n", bytes / (link_gpu * gpu), get("d2h_bytes") / 4 / (cpu_gpu * gpu)
}
