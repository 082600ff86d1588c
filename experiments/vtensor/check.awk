# paper growth.csv ahead.csv rates.csv prefix.csv host.csv access.csv: ours beside the paper's.
FNR == 1 { file++ }
file == 1 { if ($1 !~ /^#|^what$/) paper[$1] = $2; next }
FNR == 1 { csv_header($0); next }
{ csv_row($0) }
file == 2 { growth[get("name")] = get("map_s") }
file == 3 { exposed[get("ahead"), get("range")] = get("exposed_s") }
file == 4 {
    kind = get("cache") (get("range") == "text" ? "-text" : "")
    at = get("rate")
    free[kind, at] = get("freed_bytes") / 1e9
    peak[kind, at] = get("peak_bytes") / 1e9
    waste[kind, at] = get("waste_share")
    rate[kind, at] = get("tokens_per_s")
    calls[kind, at] = get("map_s")
}
file == 5 { tokens[get("kind")] = get("peak_bytes") / 1e9; first[get("kind")] = get("first_token_s") }
file == 6 {
    bytes[get("kind"), get("cache")] = get("peak_bytes")
    maps[get("kind"), get("cache")] = get("maps")
    speed[get("kind"), get("cache")] = get("tokens_per_s")
    share[get("kind"), get("cache")] = get("waste_share")
}
file == 7 { a = get("access"); if (!(a in least) || get("map_s") < least[a]) least[a] = get("map_s") }

END {
    if (aborted) exit 2
    printf "  a growth of a text at 32 blocks: %.2f ms, with the second log %.2f, one range per text %.3f\n",
        1e3 * growth["tensor"], 1e3 * growth["second-log"], 1e3 * growth["text"]
    printf "  300 new tokens, ms exposed with chunks 0, 1, 100 tokens ahead: %.2f, %.2f, %.2f\n\n",
        1e3 * exposed[0, "tensor"], 1e3 * exposed[1, "tensor"], 1e3 * exposed[100, "tensor"]
    printf "  Yi-6B on an A100, GB of caches at most, by requests per second (free of the card):\n"
    split("1 2 4 8", rates, " ")
    for (i = 1; i <= 4; i++) {
        r = rates[i]
        printf "  %d/s  chunks %5.1f (%4.1f)  one range per text %5.1f (%4.1f)  blocks %4.1f (0)  places %4.1f (0)\n",
            r, peak["vtensor", r], free["vtensor", r], peak["vtensor-text", r], free["vtensor-text", r],
            peak["paged", r], peak["reserved", r]
    }
    printf "  share of it without tokens at 4/s: %.2f, %.4f, %.3f, %.2f\n", waste["vtensor", 4],
        waste["vtensor-text", 4], waste["paged", 4], waste["reserved", 4]
    printf "  40 conversations that begin alike: %.2f GB, %.2f if nothing is shared; first token %.0f and %.0f ms\n",
        tokens["turns"], tokens["alone"], 1e3 * first["turns"], 1e3 * first["alone"]
    printf "\n  this machine, tokens per second: chunks %.0f, blocks %.0f, reserved %.0f\n",
        speed["measured", "vtensor"], speed["measured", "paged"], speed["measured", "reserved"]
    printf "  240 chunks of a page mapped and accessible by one call %.0f us, by 240 calls %.0f us\n\n",
        1e6 * least["range"] / 4, 1e6 * least["chunk"] / 4

    require(abs(paper["freed_gb"] / paper["card_gb"] - paper["freed_share"]) < 1e-9, "57 of 80 GB are 71.25 %")
    require(abs(growth["tensor"] / (64e-6 * (paper["map_us"] + paper["access_us"])) - 1) < 0.01,
        "a growth takes 64 maps and 64 calls of access")
    require(abs(growth["second-log"] / 1.4e-3 - 1) < 0.01, "1.4 ms with the second log")
    require(growth["tensor"] > 60 * growth["text"], "one range per text needs a 64th of the calls")
    require(exposed[0, "tensor"] - exposed[100, "tensor"] > growth["tensor"],
        "without chunks ahead growths are exposed")
    require(abs(exposed[1, "tensor"] - exposed[100, "tensor"]) < 1e-4, "one token ahead hides a growth of 2.4 ms")
    ok = 1
    for (i = 1; i <= 4; i++) {
        r = rates[i]
        ok = ok && peak["vtensor-text", r] < peak["reserved", r] && waste["vtensor-text", r] < waste["paged", r] + 0.02
    }
    require(ok, "one range per text takes less than places, and wastes as little as blocks")
    require(free["vtensor", 1] >= paper["freed_gb"] && free["vtensor-text", 4] >= paper["freed_gb"],
        "57 GB are free at 1 request per second, with one range per text at 4 too")
    require(waste["vtensor", 4] > 0.2, "a range per tensor wastes more than a fifth at four heads of K")
    require(tokens["turns"] < 0.5 * tokens["alone"], "a shared beginning saves more than half")
    same = 1
    for (kind in share) {
        split(kind, k, SUBSEP)
        same = same && bytes["measured", k[2]] == bytes["predicted", k[2]] &&
            maps["measured", k[2]] == maps["predicted", k[2]]
    }
    require(same, "this machine: memory and calls are the predicted ones")
    require(least["range"] < least["chunk"],
        "this machine: one call of access for many chunks is cheaper than one for each")
    finish()
}
