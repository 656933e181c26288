DROP TABLE staff_enrolments;
ALTER TABLE staff DROP COLUMN trusted_from;
