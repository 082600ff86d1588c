# One policy: simulated above, measured below, on one time axis; error bars (5 to 95 %) if the prediction has them.
width = 900; height = 490
load plots."/style.gp"
files = data."/".policy.".sim.csv ".data."/".policy.".run.csv"
gantt_files = files
load plots."/gantt-style.gp"
set autoscale
stats word(files, 1) using (column(has_bars(word(files, 1)) ? "end_high_s" : "end_s")*1000) nooutput name "S"
stats word(files, 2) using (column("end_s")*1000) nooutput name "R"
end = S_max > R_max ? S_max : R_max
set yrange [0.45:rows_top]
set xrange [0:end*1.01]
set multiplot
set lmargin at screen 0.06; set rmargin at screen 0.985
# Only the kinds that this plan has are in the legend.
used = system("awk -F, -v ORS=' ' 'NR > 1 && !seen[$2]++ { print $2 }' '".word(files, 1)."'")
has(kind) = strstrt(" ".used." ", " ".kind." ") > 0
do for [k=1:2] {
    set tmargin at screen (k == 1 ? 0.875 : 0.535); set bmargin at screen (k == 1 ? 0.605 : 0.265)
    set label 1 (k == 1 ? "simulated" : "measured") at graph 0, graph 1.09 left font ",10"
    if (k == 1) {
        set title policy.": ".note offset 0, 0.6
        set format x ""; unset xlabel; unset key
    } else {
        unset title; set format x "%g"; set xlabel "time (ms)" offset 0, 0.3
        set label 1000 "dotted: the end of an iteration's last backward".(has_bars(word(files, 1)) ? \
            "; bars: 5 to 95 % of the simulated starts (above) and ends (below)" : "") at screen 0.5225, screen 0.135 center font ",8"
        unset key
    }
    barred = has_bars(word(files, k))
    ends = iteration_ends(word(files, k))
    unset arrow
    do for [e=1:words(ends)] {
        set arrow from word(ends, e) + 0, graph 0 to word(ends, e) + 0, graph 1 nohead linecolor rgb "#404040" dashtype 3 linewidth 0.8 front
        set label 1+e "".e at word(ends, e) + 0, graph 1.04 right font ",7" textcolor rgb "#404040"
    }
    # In an interactive picture: what an op is, at the centre of its box.
    plot for [c=1:words(kinds)] word(files, k) using (strcol("kind") eq word(kinds, c) ? 500*(column("start_s")+column("end_s")) : NaN):\
            (lane(strcol("lane"))):(column("start_s")*1000):(column("end_s")*1000):(lane(strcol("lane"))-0.4):(lane(strcol("lane"))+0.4) \
            with boxxyerror linecolor rgb shade[c] linewidth 0.4, \
        word(files, k) using (column("end_s")-column("start_s") > 0.011e-3*end ? 500*(column("start_s")+column("end_s")) : NaN):\
            (lane(strcol("lane"))):(strcol("layer")):(ink_on(strcol("kind"))) with labels font ",6" textcolor rgb variable, \
        for [b=1:2] word(files, k) using \
            (barred && has_length(column("start_s"), column("end_s"), end) ? column(edge(b))*1000 : NaN):(bar_at(strcol("lane"), b)):\
            (column(bound(b, "_low_s"))*1000):(column(bound(b, "_high_s"))*1000) \
            with xerrorbars pointtype 0 linecolor rgb black linewidth 0.4, \
        word(files, k) using (exists("mouse") ? 500*(column("start_s")+column("end_s")) : NaN):(lane(strcol("lane"))):\
            (sprintf("%s, layer %s: %.3f to %.3f ms, %s bytes", strcol("kind"), strcol("layer"), 1000*column("start_s"), \
            1000*column("end_s"), strcol("bytes"))) with labels hypertext point pointtype 5 pointsize 0.3 linecolor rgb 0xFF000000
}
# The legend on its own strip at the bottom, its boxes with outlines.
set style fill solid 1.0 border rgb "#404040"
unset title; unset label; unset arrow; unset border; unset tics; unset xlabel; unset ylabel
set tmargin at screen 0.08; set bmargin at screen 0.0
set key at screen 0.985, screen 0.052 right center horizontal Left reverse samplen 1 width 1
set yrange [0:1]; set xrange [0:1]
plot for [c=1:words(kinds)] NaN with boxes linecolor rgb shade[c] title (has(word(kinds, c)) ? word(kinds, c) : "")
unset multiplot
