# Predicted and measured speedups of the tuned settings over zero.
BEGIN { noise = 0.05 }
FNR == 1 {
    csv_header($0)
    printf "  %-50s %-16s %9s %9s %9s\n", "cell", "policy", "predicted", "measured", "spread"
    next
}
{
    csv_row($0)
    valid += get("zero_measured_s") > 0 && get("tuned_measured_s") > 0
    predicted[++cells] = get("zero_s") / get("tuned_s")
    measured[cells] = get("zero_measured_s") / get("tuned_measured_s")
    printf "  %-50s %-16s %9.3f %9.3f %8.1f%%\n", get("label"), get("policy"), predicted[cells], measured[cells], \
        100 * get("spread")
    never_slower += measured[cells] >= 1 - noise
    faster += predicted[cells] >= 1
    worst = cells == 1 ? measured[cells] : min(worst, measured[cells])
}
END {
    if (aborted) exit 2
    require(cells >= 9 && valid == cells && faster == cells,
        sprintf("predicted never slower than zero in %d of %d", faster, cells))
    require(cells > 0 && never_slower == cells,
        sprintf("measured never slower than zero, but for %.0f %% of noise, in %d of %d; the least speedup is %.3f", \
            100 * noise, never_slower, cells, worst))
    require(median(measured, cells) >= 1 + noise, sprintf("half of them are measured to be faster by %.0f %%", \
        100 * (median(measured, cells) - 1)))
    finish()
}
