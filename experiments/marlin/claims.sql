-- The speed-ups of weights in 4 bits over those in fp16, on this machine over fp32.  paper.csv: of a product on an A10
-- by rows of X, the authors', and what their roofline allows.
CREATE VIEW times AS SELECT 'peak' AS source, "rows", policy, token_s FROM peak UNION ALL
    SELECT 'profile', "rows", policy, token_s FROM profile UNION ALL SELECT 'host', "rows", policy, token_s FROM host;
CREATE VIEW speeds AS SELECT source, "rows",
    pick(token_s, policy = 'resident') / pick(token_s, policy = 'marlin') AS gain FROM times GROUP BY source, "rows";
WRITE gains AS SELECT "rows", pick(gain, source = 'peak') AS peak, pick(gain, source = 'profile') AS profile,
    pick(gain, source = 'host') AS host, max(paper.authors) AS authors, max(paper.ideal) AS ideal
    FROM speeds LEFT JOIN paper USING ("rows") GROUP BY "rows";

SELECT '  a token with weights in 4 bits, speed-up by rows (texts): at the A10''s data sheet, with the profile''s';
SELECT '  assumed losses, (the authors'' roofline, their measurement), and on this machine over fp32';
SELECT printf('  %4d  %5.2f  %5.2f  (%4s, %4s)', "rows", peak, profile, iif(ideal, printf('%.2f', ideal), '-'),
    iif(authors, printf('%.2f', authors), '-')) || iif(host, printf('   host %5.2f', host), '') FROM gains;
REQUIRE SELECT abs(peak / ideal - 1) <= 0.05, printf('%d row%s: within 5 %% of the authors'' roofline: %+.1f %%',
    "rows", iif("rows" = 1, '', 's'), 100 * (peak / ideal - 1)) FROM gains WHERE ideal;
REQUIRE SELECT abs(peak / authors - 1) <= 0.1, printf('%d row%s: within 10 %% of the authors'' measurement: %+.1f %%',
    "rows", iif("rows" = 1, '', 's'), 100 * (peak / authors - 1)) FROM gains WHERE authors;
REQUIRE SELECT knee > 32 AND knee <= 64, printf('the knee is between 32 and 64 rows: a tenth lost at %d', knee) FROM
    (SELECT min(gains."rows") AS knee FROM gains, gains AS one WHERE one."rows" = 1 AND gains.peak <= 0.9 * one.peak);
REQUIRE SELECT host > 3, printf('on this machine one text is more than 3 times as fast as in fp32: %.2f', host)
    FROM gains WHERE "rows" = 1;
