# The parts of an iteration in units of zero's: one row per model and policy.
FNR == 1 {
    csv_header($0)
    print "label,model,policy,gpu,exposed_comm,exposed_cpu,other,total"
    next
}
{
    csv_row($0)
    if (get("policy") == "zero") unit = get("iteration_s")
    printf "%s %s,%s,%s,%.4f,%.4f,%.4f,%.4f,%.4f\n", get("policy"), get("model"), get("model"), get("policy"),
        get("gpu_busy_s") / unit, get("exposed_comm_s") / unit, get("exposed_cpu_s") / unit, get("other_s") / unit,
        get("iteration_s") / unit
}
