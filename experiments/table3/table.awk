# Means over seeds: one row per method, best first.
FNR == 1 { csv_header($0); next }
{
    csv_row($0)
    m = get("method")
    if (m == "full-steps") next # equal steps, not equal time
    if (!(m in seeds)) methods[++count] = m
    seeds[m]++
    loss[m] += get("held_out_after"); before[m] += get("held_out_before");
    taken[m] += get("train_s"); steps[m] += get("steps"); bytes[m] = get("peak_gpu_bytes")
}
END {
    if (aborted) exit 2
    for (i = 2; i <= count; i++)
        for (j = i; j > 1 && loss[methods[j]] / seeds[methods[j]] < loss[methods[j - 1]] / seeds[methods[j - 1]]; j--) {
            m = methods[j]; methods[j] = methods[j - 1]; methods[j - 1] = m
        }
    print "method,seeds,train_s,steps,held_out_before,held_out_after,bits_per_byte,perplexity,peak_gpu_bytes"
    for (i = 1; i <= count; i++) {
        m = methods[i]; n = seeds[m]
        printf "%s,%d,%.3f,%d,%.5f,%.5f,%.4f,%.4f,%d\n", m, n, taken[m] / n, steps[m] / n, before[m] / n, loss[m] / n,
            loss[m] / n / log(2), exp(loss[m] / n), bytes[m]
    }
}
