DROP TABLE figure_bounds, figure_months, figure_members, figure_benefits, figure_waits, figure_pairs, figure_days;
DROP TRIGGER activity_months_keep ON activities;
DROP FUNCTION activity_months_keep();
DROP TABLE activity_months;
DROP INDEX batches_uncounted;
ALTER TABLE batches DROP COLUMN counted;
