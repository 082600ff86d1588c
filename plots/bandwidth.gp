# Lines: slowdown of every policy against the bandwidth of the link, two machines side by side.
width = 860; height = 440
load plots."/style.gp"
file = data."/bandwidth.csv"
# The values of a column to the left of any text with commas, each once.
values(name) = system("awk -F, -v name=".name." 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i; next }\
    !seen[$at]++ { print $at }' '".file."'")
models = values("model"); policies = values("policy")
set logscale xy 2
set xrange [0.9:72]
set xlabel "link each way (GB/s)"
set format y "%g"
set multiplot title "Slowdown of every policy against the link, simulated".(exists("note") ? ": ".note : "")
set tmargin at screen 0.86; set bmargin at screen 0.13
do for [k=1:words(models)] {
    model = word(models, k)
    set lmargin at screen (k == 1 ? 0.09 : 0.44); set rmargin at screen (k == 1 ? 0.38 : 0.73)
    set title value("title_".k)
    if (k == 1) { set ylabel "slowdown against native" } else { unset ylabel }
    if (k == 2) { set key at screen 0.99, screen 0.87 right top vertical Left reverse maxcols 1 spacing 0.95 font ",9" } else { unset key }
    plot for [p in policies] file \
        using (strcol("model") eq model && strcol("policy") eq p ? column("link_Bps")/1e9 : NaN):"slowdown" with linespoints \
        pointtype mark_of(p) pointsize 1.0 linewidth 1.6 linecolor rgb colour_of(p) title p
}
unset multiplot
