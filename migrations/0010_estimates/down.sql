DROP TABLE reported_points;
DROP TABLE estimates;
DROP FUNCTION stated_is_final;
