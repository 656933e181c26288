DROP TABLE staff_enrolments;
DROP INDEX staff_log_by_subject;
ALTER TABLE staff DROP COLUMN trusted_from;
