# All policies: simulated on the left, measured on the right, one row per policy with its own time axis.
n = words(policies)
width = 1000; height = 122*n + 124
load plots."/style.gp"
gantt_files = data."/*.sim.csv"
load plots."/gantt-style.gp"
# Only the kinds that some plan has are in the legend.
used = system("cd '".data."' && awk -F, -v ORS=' ' 'FNR > 1 && !seen[$2]++ { print $2 }' *.sim.csv")
has(kind) = strstrt(" ".used." ", " ".kind." ") > 0
set multiplot title note
do for [p=1:n] {
    policy = word(policies, p)
    sim = data."/".policy.".sim.csv"; run = data."/".policy.".run.csv"
    set autoscale
    stats sim using (column(has_bars(sim) ? "end_high_s" : "end_s")*1000) nooutput name "S"
    stats run using (column("end_s")*1000) nooutput name "R"
    end = S_max > R_max ? S_max : R_max
    set xrange [0:end*1.01]; set yrange [0.45:rows_top]
    top = 1.0 - (60.0 + 122.0*(p-1))/height
    set tmargin at screen top; set bmargin at screen top - 66.0/height
    do for [k=1:2] {
        set lmargin at screen (k == 1 ? 0.05 : 0.55); set rmargin at screen (k == 1 ? 0.48 : 0.98)
        set title policy.(k == 1 ? ", simulated" : ", measured") offset 0, -0.6 font ",9"
        unset key
        unset xlabel
        if (p == n) { set xlabel "time (ms)" offset 0, 0.5 }
        barred = has_bars(k == 1 ? sim : run)
        ends = iteration_ends(k == 1 ? sim : run)
        unset arrow
        do for [e=1:words(ends)] {
            set arrow from word(ends, e) + 0, graph 0 to word(ends, e) + 0, graph 1 nohead linecolor rgb "#404040" dashtype 3 linewidth 0.6 front
        }
        plot for [c=1:words(kinds)] (k == 1 ? sim : run) using \
            (strcol("kind") eq word(kinds, c) ? 500*(column("start_s")+column("end_s")) : NaN):\
            (lane(strcol("lane"))):(column("start_s")*1000):(column("end_s")*1000):(lane(strcol("lane"))-0.4):(lane(strcol("lane"))+0.4) \
            with boxxyerror linecolor rgb shade[c] linewidth 0.3, \
            for [b=2:2] (k == 1 ? sim : run) using \
            (barred && has_length(column("start_s"), column("end_s"), end) ? column(edge(b))*1000 : NaN):(bar_at(strcol("lane"), b)):\
            (column(bound(b, "_low_s"))*1000):(column(bound(b, "_high_s"))*1000) \
            with xerrorbars pointtype 0 linecolor rgb black linewidth 0.3
    }
}
unset title; unset arrow; unset border; unset tics; unset xlabel
set tmargin at screen 64.0/height; set bmargin at screen 0
set lmargin at screen 0.05; set rmargin at screen 0.98
set key at screen 0.98, screen 34.0/height right center horizontal Left reverse samplen 1 width 1
set yrange [0:1]; set xrange [0:1]
set style fill solid 1.0 border rgb "#404040"
plot for [c=1:words(kinds)] NaN with boxes linecolor rgb shade[c] title (has(word(kinds, c)) ? word(kinds, c) : "")
unset multiplot
