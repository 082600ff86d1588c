# Losses of host and GPU: POLICY PRECISION, then last loss and that of the held-out text of the host, and of the GPU.
# With --timing-only there is none of the held-out text (-).
function off(a, b) { return b != 0 ? (a > b ? a - b : b - a) / b : 1 }
{
    limit = $2 == "fp32" ? 0.002 : 0.02
    ok = NF == 6 && off($5, $3) <= limit && (($4 == "-" && $6 == "-") || off($6, $4) <= limit)
    printf "%-5s %-16s %s: loss %s, host %s; held out %s, host %s\n", ok ? "holds" : "FAILS", $1, $2, $5, $3, $6, $4
    failures += !ok
}
END { exit failures > 0 || NR == 0 }
