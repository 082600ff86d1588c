-- Is the grid balanced, was enough measured, and are the errors within the limits?
CREATE VIEW classes AS SELECT names.bound, count(cells.bound) AS cells, sum(cells.disturbed = 'false') AS calm
    FROM (SELECT 1 AS place, 'gpu' AS bound UNION ALL SELECT 2, 'link' UNION ALL SELECT 3, 'cpu') AS names
    LEFT JOIN cells USING (bound) GROUP BY place;
CREATE VIEW q AS SELECT sum(cells) AS cells, total(calm) AS calm, min(coalesce(calm, 0)) AS least_calm,
    iif(given('full') = 1, 80, 30) AS least FROM classes;
-- An error of a predictor; without a judged cell there is none.
CREATE VIEW errors AS SELECT predictor, mean > 0.04 OR p95 > 0.1 AS misses,
    iif(mean IS NULL, ' unknown, because no cell was judged', printf(' %.1f %%', 100 * mean)) AS error, mean
    FROM summary WHERE cells = 'all' AND quantity = 'time';
-- Of the cells that are judged.
CREATE VIEW means AS SELECT 100 * low95(abs(predicted_s / measured_s - 1)) AS low,
    100 * high95(abs(predicted_s / measured_s - 1)) AS high FROM cells WHERE disturbed = 'false';
SELECT '';
REQUIRE SELECT cells >= least, printf('%d cells, at least %d', cells, least) FROM q;
REQUIRE SELECT classes.cells >= 0.3 * q.cells, printf('%d of %d cells are bound by the %s, about a third',
    classes.cells, q.cells, bound) FROM classes, q;
-- Cells that were always disturbed do not count, because they measure other processes; too few others are inconclusive.
REQUIRE SELECT calm >= 0.75 * cells AND least_calm >= 0.2 * cells,
    printf('%d of %d cells were measured undisturbed, at ' || 'least three quarters, and 20 %% of all in each class',
    calm, cells) FROM q;
REQUIRE SELECT given('verdict') = 0, printf('the thresholds of lspo validate hold (mean error%s%s)', ours.error,
    iif(again.mean IS NULL, '', printf('; a second measurement differs by%s', again.error))), low, high,
    NULL, NULL, '%'
    FROM means, errors AS ours LEFT JOIN (SELECT * FROM errors WHERE predictor = 'measured again') AS again
    WHERE ours.predictor = 'lspo';
REQUIRE SELECT misses, printf('''%s'' misses them (mean error%s)', predictor, error) FROM errors
    WHERE predictor IN ('native + bytes/link', 'slowest lane');
