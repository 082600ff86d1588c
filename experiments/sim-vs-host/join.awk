# native.csv predicted.csv measured.csv: one row a cell.  The naive predictor is given more than any predictor has: the
# measured native time, to which it adds all bytes over the link's rate.
FNR == 1 { csv_header($0); file++; next }
{ csv_row($0) }
file == 1 {
    id = get("group_id")
    workload[id] = get("model") " " get("batch") " " get("sequence")
    native[id] = get("iteration_s")
    share[id] = get("foreign_share")
    if (!(workload[id] in calmest) || share[id] < share[calmest[workload[id]]]) calmest[workload[id]] = id
    next
}
file == 2 {
    cell = get("cell")
    predicted[cell] = get("iteration_s")
    predicted_slowdown[cell] = get("slowdown")
    bytes[cell] = get("d2h_bytes") + get("h2d_bytes")
    text = get("bound")
    bound[cell] = text ~ /^bound by the GPU:/ ? "gpu" : text ~ /^bound by the CPU optimizer/ ? "cpu" : "link"
    next
}
{
    if (!header++)
        print "cell,group_id,rates_of,model,policy,d,r,link_Bps,cpu_pps,bound,predicted_s,measured_s,low_s,high_s," \
            "naive_s,native_s,predicted_slowdown,measured_slowdown,naive_slowdown,error,naive_error,slowdown_error," \
            "naive_slowdown_error,foreign_share"
    cell = get("cell")
    measured = get("iteration_s")
    # Native was measured beside each group; where others disturbed that, a calmer measurement of the same stands in.
    id = get("group_id")
    base = native[share[id] > 0.06 ? calmest[workload[id]] : id]
    naive = base + bytes[cell] / get("link_Bps")
    printf "%d,%d,%s,%s,%s,%s,%s,%s,%s,%s,%.6g,%.6g,%s,%s,%.6g,%.6g,%.4f,%.4f,%.4f,%.4f,%.4f,%.4f,%.4f,%s\n", cell,
        get("group_id"), get("rates_of"), get("model"), get("policy"), get("subspace"), get("nnz"), get("link_Bps"),
        get("cpu_pps"), bound[cell], predicted[cell], measured, get("iteration_low_s"), get("iteration_high_s"), naive,
        base, predicted_slowdown[cell], measured / base, naive / base, predicted[cell] / measured - 1,
        naive / measured - 1, predicted_slowdown[cell] / (measured / base) - 1, naive / measured - 1,
        get("foreign_share")
}
