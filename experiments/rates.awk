# Link and optimizer rates at which this cell's gradients take the given share of its GPU time; the link stays below
# `most_Bps` (0: no limit).
FNR == 1 { csv_header($0); next }
{
    csv_row($0)
    gpu = get("gpu_busy_s")
    link_Bps = max(get("d2h_bytes"), get("h2d_bytes")) / (link_gpu * gpu)
    if (most_Bps > 0) link_Bps = min(link_Bps, most_Bps)
    printf "%.0f %.0f\n", link_Bps, get("d2h_bytes") / 4 / (cpu_gpu * gpu)
}
