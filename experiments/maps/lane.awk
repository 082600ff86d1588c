# The lane that limits, as a number: 1 the GPU, 2 the link, 3 the CPU.
FNR == 1 { csv_header($0); print "policy,link_Bps,cpu_pps,lane"; next }
{
    csv_row($0)
    lane = get("bound") ~ /^bound by the CPU optimizer/ ? 3 : get("bound") ~ /^bound by the GPU:/ ? 1 : 2
    printf "%s,%.9g,%.9g,%d\n", get("policy"), get("link_Bps"), get("cpu_pps"), lane
}
