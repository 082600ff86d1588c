-- The cells of grid-parts: does each part of the model reduce errors where it should?  A group has the name of its
-- part.
CREATE VIEW judged AS SELECT group_name AS part, rowid AS place, disturbed, noise,
    predicted_s / measured_s - 1 AS error, CASE group_name WHEN 'contention' THEN no_contention WHEN 'shapes' THEN
    no_shapes WHEN 'latency' THEN no_latency
        WHEN 'cache' THEN no_cache END / measured_s - 1 AS without FROM cells WHERE measured_s IS NOT NULL;
SELECT printf('  %-12s %5s %14s %14s %8s %14s', 'part', 'cells', 'error with it', 'without it', 'bias',
    'measured again');
SELECT printf('  %-12s %5d %12.1f %% %12.1f %% %+6.1f %% %12.1f %%', part, count(*), 100 * avg(abs(error)),
    100 * avg(abs(without)), 100 * avg(error), 100 * total(noise) / count(*)) FROM judged GROUP BY part
    ORDER BY min(place);
SELECT printf('  undisturbed: %d cells', sum(disturbed = 'false')) FROM judged;
REQUIRE SELECT avg(abs(error)) < avg(abs(without)), printf('%s: predictions are better with it, on cells that are ' ||
    'about it (the error is %+.1f points)', part, 100 * avg(abs(error) - abs(without))),
    100 * low95(abs(error) - abs(without)), 100 * high95(abs(error) - abs(without)) FROM judged
    GROUP BY part ORDER BY min(place);
