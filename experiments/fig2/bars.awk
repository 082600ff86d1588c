# The parts of an iteration in units of GPU time, and the total when gradients and parameters cross the link in fp32.
FNR == 1 {
    csv_header($0)
    print "model,machine,gpu,exposed_comm,exposed_cpu,other,total,total_fp32,paper_total"
    next
}
{
    csv_row($0)
    if (get("transfer") == "fp16") gpu = get("gpu_busy_s")
    total = get("iteration_s") / gpu
}
get("transfer") == "fp16" {
    line = sprintf("%s,%s,1,%.4f,%.4f,%.4f,%.4f", get("model"), get("machine"), get("exposed_comm_s") / gpu,
        get("exposed_cpu_s") / gpu, get("other_s") / gpu, total)
}
get("transfer") == "fp32" { printf "%s,%.4f,%s\n", line, total, get("paper_total") }
