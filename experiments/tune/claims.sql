-- A row per cell: of both settings the predicted step, and the shortest measured one of all rounds.
WRITE cells AS SELECT model, changes, link_Bps, cpu_pps,
    printf('%s %s: %.0f MB/s %.0f M/s', model, changes, link_Bps / 1e6, cpu_pps / 1e6) AS label,
    max(iif(kind = 'tuned', policy, NULL)) AS policy, max(iif(kind = 'zero', predicted_s, NULL)) AS zero_s,
    max(iif(kind = 'tuned', predicted_s, NULL)) AS tuned_s, min(iif(kind = 'zero', iteration_s,
    NULL)) AS zero_measured_s, min(iif(kind = 'tuned', iteration_s, NULL)) AS tuned_measured_s,
    max(max(iif(kind = 'zero', iteration_s, NULL)) / min(iif(kind = 'zero', iteration_s, NULL)),
        max(iif(kind = 'tuned', iteration_s, NULL)) / min(iif(kind = 'tuned', iteration_s, NULL))) - 1 AS spread
    FROM tune GROUP BY cell ORDER BY min(rowid);

CREATE VIEW speedups AS SELECT *, zero_s / tuned_s AS predicted, zero_measured_s / tuned_measured_s AS measured
    FROM cells;
SELECT printf('  %-50s %-16s %9s %9s %9s', 'cell', 'policy', 'predicted', 'measured', 'spread');
SELECT printf('  %-50s %-16s %9.3f %9.3f %8.1f%%', label, policy, predicted, measured, 100 * spread) FROM speedups;
-- The same of each round, and over the rounds the intervals of each cell and of the median.
CREATE VIEW rounds AS SELECT cell, round, model, changes, link_Bps, cpu_pps, pick(iteration_s, kind = 'zero') /
    pick(iteration_s, kind = 'tuned') AS ratio FROM tune GROUP BY cell, round;
CREATE VIEW spreads AS SELECT model, changes, link_Bps, cpu_pps, low95(ratio) AS low, high95(ratio) AS high,
    count(ratio) AS repeats FROM rounds GROUP BY cell;
CREATE VIEW middle AS SELECT 100 * low95(gain) AS low, 100 * high95(gain) AS high, count(gain) AS repeats FROM
    (SELECT median(ratio) - 1 AS gain FROM rounds GROUP BY round);
REQUIRE SELECT count(*) >= 9 AND count(measured) = count(*) AND every(predicted >= 1),
    printf('predicted never slower than zero in %d of %d', sum(predicted >= 1), count(*)) FROM speedups;
-- The interval is that of the least speedup; if another cell is slower for certain, there is no limit.
REQUIRE SELECT every(measured >= 0.95), printf('measured never slower than zero, but for 5 %% of noise, in %d of %d; '
    || 'the least speedup is %.3f', sum(measured >= 0.95), count(*), min(measured)), low, high, repeats,
    iif(every(measured >= 0.95 OR undecided(low, high, repeats, 0.95)), 0.95, NULL) FROM speedups LEFT JOIN spreads
    ON spreads.model = speedups.model AND spreads.changes IS speedups.changes
    AND spreads.link_Bps = speedups.link_Bps AND spreads.cpu_pps = speedups.cpu_pps;
REQUIRE SELECT median(measured) >= 1.05, printf('half of them are measured to be faster by %.0f %%',
    100 * (median(measured) - 1)), min(low), min(high), min(repeats), 5, '%'
    FROM speedups, middle;
