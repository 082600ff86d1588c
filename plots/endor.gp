# Bars: a pass of OPT-66B, ours and the authors'; lines: the pass against the link.
width = 820; height = 380
load plots."/style.gp"
set multiplot
set tmargin at screen 0.90; set bmargin at screen 0.15
set lmargin at screen 0.08; set rmargin at screen 0.46
set title "s per pass of OPT-66B, simulated, and the authors' (lines)"
file = data."/passes.csv"
set yrange [0:60]
set xrange [-0.6:3.6]
set boxwidth 0.6
$published << END
place,seconds
0,54
1,35.8
2,31.8
3,24.2
END
set xtics ("dense" 0, "bitmap" 1, "more room" 2, "direct" 3)
plot file using ($0 < 4 ? $0 : NaN):"token_s" with boxes linecolor rgb sky title "ours", \
    $published using 1:2:(0.3) with xerrorbars pointtype 0 linewidth 2 linecolor rgb black title "published"
set xtics autofreq
set lmargin at screen 0.58; set rmargin at screen 0.97
set title "s per pass, all blocks on the host, simulated"
set logscale xy 10
set xrange [0.08:1200]
set yrange [*:*]
set xlabel "link (GB/s)"
file = data."/links.csv"
formats = "dense csr bitmap"
array shade[3] = [black, orange, blue]
plot for [i=1:3] file using (strcol("weight_format") eq word(formats, i) ? column("link_Bps")/1e9 : NaN):"token_s" \
    with linespoints pointtype (i+4) pointsize 0.8 linewidth 1.6 linecolor rgb shade[i] title word(formats, i)
unset multiplot
