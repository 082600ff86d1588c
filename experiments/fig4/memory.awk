# First file: the model's tensors; second: measured peaks.  The bytes per rank, or per nonzero of a row, between the
# smallest and the largest measured, against Table 2's formula at four bytes per number and against a count of all
# arrays.
FNR == 1 { csv_header($0); files++; next }
files == 1 {
    csv_row($0)
    if (get("linear") != "true") next
    m = get("rows"); n = get("cols"); stages = get("stages")
    sides += stages * (m + n)
    short += stages * min(m, n); long += stages * max(m, n)
    next
}
{
    csv_row($0)
    policy = get("policy"); k = get("k") + 0
    if (!(policy in least_k)) { policies[++count] = policy; least_k[policy] = k; least[policy] = get("peak_gpu_bytes") }
    most_k[policy] = k; most[policy] = get("peak_gpu_bytes")
}
END {
    if (aborted) exit 2
    print "policy,from,to,measured,formula,counted,ratio,accounted"
    formula["lora"] = 4 * 3 * sides; counted["lora"] = 4 * 3 * sides
    formula["galore"] = 4 * (short + 3 * long); counted["galore"] = 4 * (short + 2 * long)
    formula["lsp"] = 4 * sides; counted["lsp"] = 16 * sides
    for (i = 1; i <= count; i++) {
        p = policies[i]
        per = (most[p] - least[p]) / (most_k[p] - least_k[p])
        printf "%s,%d,%d,%.0f,%.0f,%.0f,%.4f,%.4f\n", p, least_k[p], most_k[p], per, formula[p], counted[p],
            per / formula[p], per / counted[p]
    }
}
