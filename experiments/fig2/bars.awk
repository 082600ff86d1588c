# The parts of an iteration in units of GPU time, as published; beside them the paper's totals, and what these are
# without "other": stated for one bar, whose share of "other" is the most that is taken off the others.
FNR == 1 {
    csv_header($0)
    print "model,machine,gpu,exposed_comm,exposed_cpu,other,total,total_fp16,rest_low,rest_high,paper_low,paper_high"
    next
}
{ csv_row($0); gpu = get("gpu_busy_s"); model = get("model") }
get("group") == "published" {
    most_other = 0.56 / 4.28
    low = get("paper_rest") != "" ? get("paper_rest") : get("paper_low") * (1 - most_other)
    high = get("paper_rest") != "" ? get("paper_rest") : get("paper_high")
    line[model] = sprintf("%s,%s,1,%.4f,%.4f,%.4f,%.4f", model, get("machine"), get("exposed_comm_s") / gpu,
        get("exposed_cpu_s") / gpu, get("other_s") / gpu, get("iteration_s") / gpu)
    paper[model] = sprintf("%.4f,%.4f,%s,%s", low, high, get("paper_low"), get("paper_high"))
}
get("group") == "2 bytes per value both ways" {
    printf "%s,%.4f,%s\n", line[model], get("iteration_s") / gpu, paper[model]
}
